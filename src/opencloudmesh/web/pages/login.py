"""Logging in and out."""

from urllib.parse import quote

from opencloudmesh.protocol.errors import RateLimited, TemporarilyUnavailable, Unauthorized
from opencloudmesh.services.known_devices import DEVICE_SECONDS
from opencloudmesh.services.records import Secret
from opencloudmesh.web.pages.page import PageAnswer, PageRequest, local_path, redirect, render, retry_after
from opencloudmesh.web.pages.sessions import Cookies
from opencloudmesh.web.pages.texts import text

_LONGEST_NAME = 255
_LONGEST_PASSWORD = 1024


def first(request: PageRequest) -> PageAnswer:
    """Whoever is not logged in does that first, and comes back to the page that was asked for."""
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in request.query.items())
    return onward(request.path + (f"?{query}" if query else ""))


def onward(wanted: str) -> PageAnswer:
    """Log in, and go on at a page of ours."""
    return redirect("/login" if wanted == "/" else f"/login?next={quote(wanted, safe='')}")


def again(request: PageRequest) -> PageAnswer:
    """A login form of another tab: go on, where that is done already; where its cookie is gone, show it anew."""
    wanted = local_path(request.form.get("next"))
    return redirect(wanted) if request.user is not None else onward(wanted)


async def show(request: PageRequest) -> PageAnswer:
    """The form."""
    if request.user is not None:
        return redirect(local_path(request.query.get("next")))
    return render(request, "login.html", next=local_path(request.query.get("next")), name="", fault=None)


async def submit(request: PageRequest, cookies: Cookies) -> PageAnswer:
    """Log in, with a new session."""
    name, password = request.form.get("name", "").strip(), request.form.get("password", "")
    wanted = local_path(request.form.get("next"))
    try:
        if not 0 < len(name) <= _LONGEST_NAME or len(password) > _LONGEST_PASSWORD:
            raise Unauthorized(text("login.wrong"), code="wrong-password")
        known = Secret(request.cookies.get(cookies.device, ""))
        _, token, _ = await request.services.accounts.login(name, Secret(password), known)
        if before := request.cookies.get(cookies.session):  # whoever had that session has it no longer
            await request.services.accounts.logout(Secret(before))
    except (Unauthorized, RateLimited, TemporarilyUnavailable) as fault:
        shown = {"next": wanted, "name": name[:_LONGEST_NAME], "fault": fault}
        return render(request, "login.html", status=fault.status, headers=retry_after(fault), **shown)
    device = request.services.accounts.known_device(name)
    remembered = [cookies.set(cookies.device, device.reveal(), seconds=DEVICE_SECONDS)] if device else []
    return redirect(
        wanted,
        *((b"set-cookie", each.encode()) for each in remembered),
        (b"set-cookie", cookies.set(cookies.session, token.reveal()).encode()),
        (b"set-cookie", cookies.set(cookies.form, "", seconds=0).encode()),
    )


async def logout(request: PageRequest, cookies: Cookies) -> PageAnswer:
    """End the session, here and in the browser."""
    await request.services.accounts.logout(Secret(request.cookies[cookies.session]))
    return redirect("/login", (b"set-cookie", cookies.set(cookies.session, "", seconds=0).encode()))
