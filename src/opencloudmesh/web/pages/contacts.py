"""The address book."""

from opencloudmesh.web.pages.page import PageAnswer, PageRequest, nothing_here, redirect, render

_MOST = 1000


async def show(request: PageRequest) -> PageAnswer:
    """All, or those that a search finds."""
    sought, contacts = request.query.get("search", "").strip(), request.services.contacts
    found = await (contacts.search(request.me, sought, limit=200) if sought else contacts.of_user(request.me, limit=_MOST))
    return render(request, "contacts.html", contacts=found, sought=sought)


async def add(request: PageRequest) -> PageAnswer:
    """Add somebody by OCM Address."""
    form = request.form
    await request.services.contacts.add(
        request.me, form.get("address", "").strip(), name=form.get("name", ""), email=form.get("email", "")
    )
    return redirect("/contacts")


async def act(request: PageRequest, item: int, act: str) -> PageAnswer:
    """Trust, ask again, or remove."""
    contacts = request.services.contacts
    if act == "remove":
        await contacts.remove(request.me, item)
    elif act in ("trust", "distrust"):
        await contacts.change(request.me, item, name=None, email=None, trusted=act == "trust")
    else:
        raise nothing_here()
    return redirect("/contacts")
