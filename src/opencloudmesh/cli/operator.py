"""What the operator of a server does: `ocm init`, `ocm serve`, `ocm user add|list|disable|enable|admin|quota|password`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Group, Parameter

from opencloudmesh.cli.beside import parts_of
from opencloudmesh.cli.formats import format_time, parse_size
from opencloudmesh.cli.session import PasswordFile
from opencloudmesh.cli.terminal import PARAMETERS, Output

if TYPE_CHECKING:
    from opencloudmesh.services.records import User

Folder = Annotated[Path, Parameter(name="--dir", help="The server's folder, made by ocm init.")]
HERE = Path(".")


def dir_option(folder: Path) -> str:
    """What repeats `--dir` in a command that is shown; nothing for the folder where one stands."""
    return "" if folder == HERE else f" --dir {shlex.quote(str(folder))}"


def register(app: App, group: Group) -> None:
    """Add the commands of this module."""
    app.command(init, group=group)
    app.command(serve, group=group)
    users = App(name="user", help="The accounts of a server.", group=group, default_parameter=PARAMETERS)
    users.command(add)
    users.command(list_users, name="list")
    for command in (disable, enable, admin, quota, password):
        users.command(command)
    app.command(users)


def init(
    folder: Annotated[Path, Parameter(name="DIR")],
    /,
    *,
    origin: str,
    listen: str | None = None,
    key_kind: Literal["ed25519", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "rsa-pss-sha512", "rsa-v1_5-sha256"] = "ed25519",
    new_secrets: bool = False,
    output: Output = Output(),
) -> None:
    """Prepare a folder for a server: a commented configuration and keys. Nothing that exists is overwritten.

    Parameters
    ----------
    folder
        The folder; it is made if there is none.
    origin
        The public address of the server, such as https://cloud.example.org.
    listen
        Where the server listens behind your reverse proxy, HOST:PORT.
    key_kind
        What kind of key signs our messages, where there is none yet.
    new_secrets
        Make a new secrets.key even beside a database: what was sealed with the old one, every share, can be opened no more.
    """
    from opencloudmesh import bootstrap

    done = bootstrap.initialise(folder, origin, listen, key_kind=key_kind, new_secrets=new_secrets)
    document = {"folder": str(folder), "origin": origin, "done": list(done)}
    output.terminal().show(document, *done, f"Next: ocm user add NAME --dir {folder}, then: ocm serve {folder}")


def serve(folder: Annotated[Path, Parameter(name="DIR")] = HERE, /, *, output: Output = Output()) -> None:
    """Run the server in the foreground until SIGTERM or Ctrl-C; requests in flight are finished.

    Parameters
    ----------
    folder
        The server's folder, made by ocm init.
    """
    import uvloop

    from opencloudmesh import bootstrap

    uvloop.run(bootstrap.run(folder))


async def add(
    name: str,
    /,
    *,
    display_name: str = "",
    email: str = "",
    admin: bool = False,
    quota: str | None = None,
    home: Path | None = None,
    password_file: PasswordFile = None,
    folder: Folder = HERE,
    output: Output = Output(),
) -> None:
    """Add an account.

    Parameters
    ----------
    name
        The login name; it becomes the left part of the OCM Address.
    display_name
        The name shown to other people.
    email
        An e-mail address, told to whom the user invites and whose invites the user accepts.
    admin
        Make it an administrator: one who may also see and change what concerns the whole server.
    quota
        How much the files may take, such as 500MB or 20GB; none for no limit. Else that of the configuration.
    home
        A folder outside of the server's, that holds the user's files. What others change there is seen. Several users may have
        the same one, but none a folder in another's.
    """
    from opencloudmesh.cli.passwords import read_password

    limit = None if quota is None else parse_size(quota)
    secret = read_password(f"Password for {name}", file=password_file, repeat=True)
    async with parts_of(folder) as wiring:
        users = await wiring.accounts.users() if home is not None else ()
        place = wiring.prepare_home(home, users) if home is not None else ""
        user = await wiring.accounts.add_user(name, secret, display_name, admin=admin, email=email, quota=limit, home=place)
    others = ", ".join(other.name for other in users if other.home == place)
    shared = f" It has the same files, locks and properties as {others}." if others else ""
    output.terminal().show(_describe(user), f"Added the user {user.name}.{shared}")


async def list_users(*, folder: Folder = HERE, output: Output = Output()) -> None:
    """List the accounts."""
    async with parts_of(folder) as wiring:
        users = await wiring.accounts.users()
    rows = ((u.name, u.display_name, _state_of(u), "yes" if u.admin else "", format_time(u.created_at)) for u in users)
    document = {"items": [_describe(user) for user in users]}
    output.terminal().table(document, ("NAME", "DISPLAY NAME", "STATE", "ADMIN", "SINCE"), rows, empty="There are no users.")


async def disable(name: str, /, *, folder: Folder = HERE, output: Output = Output()) -> None:
    """Disable an account: its sessions end, its files and shares stay.

    Parameters
    ----------
    name
        The login name.
    """
    await _set_disabled(name, True, folder)
    output.terminal().show({"name": name, "disabled": True}, f"Disabled the user {name}.")


async def enable(name: str, /, *, folder: Folder = HERE, output: Output = Output()) -> None:
    """Enable an account again.

    Parameters
    ----------
    name
        The login name.
    """
    await _set_disabled(name, False, folder)
    output.terminal().show({"name": name, "disabled": False}, f"Enabled the user {name}.")


async def admin(name: str, /, *, revoke: bool = False, folder: Folder = HERE, output: Output = Output()) -> None:
    """Make an administrator of an account: one who may also see and change what concerns the whole server.

    Parameters
    ----------
    name
        The login name.
    revoke
        Take that right away again.
    """
    async with parts_of(folder) as wiring:
        await wiring.accounts.set_admin(name, not revoke)
    what = "is no administrator any more" if revoke else "is an administrator now"
    output.terminal().show({"name": name, "admin": not revoke}, f"{name} {what}.")


async def quota(name: str, size: str, /, *, folder: Folder = HERE, output: Output = Output()) -> None:
    """Set how much the files of an account may take, from the next request on.

    Parameters
    ----------
    name
        The login name.
    size
        Such as 500MB or 20GB; `none` for no limit, `default` for that of the configuration.
    """
    limit = None if size == "default" else parse_size(size)
    async with parts_of(folder) as wiring:
        await wiring.accounts.set_quota(name, limit)
    output.terminal().show({"name": name, "quota": limit}, f"Set the quota of {name}: {size}.")


async def password(name: str, /, *, password_file: PasswordFile = None, folder: Folder = HERE, output: Output = Output()) -> None:
    """Set a new password for an account.

    Parameters
    ----------
    name
        The login name.
    """
    from opencloudmesh.cli.passwords import read_password

    secret = read_password(f"New password for {name}", file=password_file, repeat=True)
    async with parts_of(folder) as wiring:
        await wiring.accounts.set_password(name, secret)
    output.terminal().show({"name": name}, f"Set the password of {name}.")


async def _set_disabled(name: str, disabled: bool, folder: Path) -> None:
    async with parts_of(folder) as wiring:
        await wiring.accounts.set_disabled(name, disabled)


def _state_of(user: "User") -> str:
    return "disabled" if user.disabled else "active"


def _describe(user: "User") -> dict[str, object]:
    return {
        "name": user.name,
        "display_name": user.display_name,
        "disabled": user.disabled,
        "admin": user.admin,
        "quota": user.quota,
        "home": user.home,
        "created_at": user.created_at,
    }
