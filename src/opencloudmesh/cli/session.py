"""`ocm login`, `ocm logout`, `ocm whoami`: the session with the user's own server (the session routes of /api/v1)."""

from typing import Annotated

from cyclopts import App, Group, Parameter

from opencloudmesh.cli.terminal import Output

PasswordFile = Annotated[
    str | None,
    Parameter(
        name="--password-file",
        help="Read the password from the first line of this file (- for standard input) and do not ask for it.",
        allow_leading_hyphen=True,
    ),
]


def register(app: App, group: Group) -> None:
    """Add the commands of this module."""
    for command in (login, logout, whoami):
        app.command(command, group=group)


async def login(
    server_url: str,
    user: str,
    /,
    *,
    password_file: PasswordFile = None,
    insecure_http: bool = False,
    output: Output = Output(),
) -> None:
    """Log in to your server and keep the session for the commands that follow.

    Parameters
    ----------
    server_url
        Your server, such as https://cloud.example.org.
    user
        Your login name there.
    insecure_http
        Allow a server without TLS that is not on this machine.
    """
    from opencloudmesh.cli.client import ApiClient, open_http
    from opencloudmesh.cli.passwords import read_password
    from opencloudmesh.cli.session_file import parse_server_url, save_session

    server = parse_server_url(server_url, insecure_http=insecure_http)
    password = read_password(f"Password of {user} on {server}", file=password_file)
    async with open_http(server) as http:
        session = await ApiClient(http, server).login(user, password)
    path = save_session(session)
    document = {"server": server, "user": session.user, "address": session.address, "expires_at": session.expires_at}
    output.terminal().show(document, f"Logged in to {server} as {session.address}; the session is kept in {path}.")


async def logout(*, output: Output = Output()) -> None:
    """End the session, here and on the server."""
    from opencloudmesh.cli.client import ApiClient, open_http
    from opencloudmesh.cli.faults import NotLoggedIn
    from opencloudmesh.cli.session_file import load_session, remove_session

    session = load_session()
    # The local end always works; only then may the server be unreachable.
    remove_session()
    async with open_http(session.server) as http:
        try:
            await ApiClient(http, session.server, session.token).call("DELETE", "/session")
        except NotLoggedIn:
            output.terminal().note("The session had ended on the server already.")
    output.terminal().show({"server": session.server, "user": session.user}, f"Logged out of {session.server}.")


async def whoami(*, output: Output = Output()) -> None:
    """Show who is logged in where, and ask the server whether that still holds."""
    from opencloudmesh.cli.client import signed_in
    from opencloudmesh.cli.formats import format_time, text_of

    async with signed_in() as (api, session):
        me = await api.call("GET", "/me")
    me = me["user"] if isinstance(me.get("user"), dict) else me
    output.terminal().show(
        {**me, "server": session.server, "expires_at": session.expires_at},
        f"{text_of(me, 'address')} ({text_of(me, 'display_name') or text_of(me, 'name')})",
        f"logged in to {session.server} until {format_time(session.expires_at)}",
    )
