"""`ocm password app`: app passwords, what WebDAV clients and scripts log in with (the app-passwords routes of /api/v1)."""

from typing import Annotated

from cyclopts import App, Group, Parameter

from opencloudmesh.cli.terminal import PARAMETERS, Output

AppPasswordId = Annotated[str, Parameter(name="ID", help="The id of the app password (see: ocm password app list).")]


def register(app: App, group: Group) -> None:
    """Add the commands of this module."""
    passwords = App(name="password", help="Passwords that open your files and shares.", group=group, default_parameter=PARAMETERS)
    commands = App(
        name="app", help="One password for each WebDAV client or script, instead of your own.", default_parameter=PARAMETERS
    )
    commands.command(create)
    commands.command(list_app_passwords, name="list")
    commands.command(revoke)
    passwords.command(commands)
    app.command(passwords)


async def create(*, name: str = "app password", output: Output = Output()) -> None:
    """Make an app password and show it, this once.

    It opens your files (WebDAV) and /api/v1, with your login name. It cannot log in, make other app passwords, or administer,
    and ends when you revoke it or the password of your account is changed.

    Parameters
    ----------
    name
        What it is for, to know it by in the list.
    """
    from opencloudmesh.cli.client import signed_in
    from opencloudmesh.cli.formats import text_of

    async with signed_in() as (api, session):
        made = await api.call("POST", "/app-passwords", document={"name": name})
    url = f"{session.server}/dav/files/{session.user}/"
    output.terminal().show(
        {**made, "url": url, "user": session.user},
        text_of(made, "password"),
        f"Address: {url}",
        f"User name: {session.user}",
        "The password is not shown again. It ends with: ocm password app revoke " + text_of(made, "id"),
    )


async def list_app_passwords(*, output: Output = Output()) -> None:
    """List your app passwords and when each was used last."""
    from opencloudmesh.cli.client import signed_in
    from opencloudmesh.cli.formats import format_time, text_of

    async with signed_in() as (api, _):
        document = await api.call("GET", "/app-passwords")
    items = [item for item in document.get("items") or () if isinstance(item, dict)]
    rows = (
        (
            text_of(item, "id"),
            text_of(item, "name"),
            format_time(item.get("created_at")),
            format_time(item["last_used_at"]) if item.get("last_used_at") else "never",
        )
        for item in items
    )
    empty = "There are no app passwords; make one: ocm password app create"
    output.terminal().table({"items": items}, ("ID", "NAME", "SINCE", "LAST USED"), rows, empty=empty)


async def revoke(app_password: AppPasswordId, /, *, output: Output = Output()) -> None:
    """End an app password: whoever uses it is out at once."""
    from opencloudmesh.cli.client import item_path, signed_in

    async with signed_in() as (api, _):
        await api.call("DELETE", item_path("app-passwords", app_password))
    output.terminal().show({"id": app_password, "revoked": True}, f"Revoked the app password {app_password}.")
