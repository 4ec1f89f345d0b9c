"""`ocm directory`: the Directory Services that say who is a member of the federation, and running one (Appendix C)."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from opencloudmesh.cli.beside import parts_of
from opencloudmesh.cli.faults import EXIT_FAILED, EXIT_WARNED
from opencloudmesh.cli.formats import format_time
from opencloudmesh.cli.operator import HERE, Folder
from opencloudmesh.cli.peers import Reason, act_for
from opencloudmesh.cli.terminal import PARAMETERS, Output

if TYPE_CHECKING:
    from opencloudmesh.adapters.directory_folder import DirectoryFolder
    from opencloudmesh.adapters.keys.directory_signing import DirectoryKey
    from opencloudmesh.services.directories import DirectoryStatus

Place = Annotated[Path, Parameter(name="--dir", help="The directory's own folder; it need not be that of a server.")]
Kind = Literal["ES256", "EdDSA"]


def register(app: App, group: Group) -> None:
    """Add the commands of this module."""
    commands = App(
        name="directory",
        help="The directories whose servers are the federation; and running one.",
        group=group,
        default_parameter=PARAMETERS,
    )
    commands.command(list_directories, name="list")
    commands.command(renew)
    for command in (key, add, remove, sign, serve):
        commands.command(command)
    app.command(commands)


async def list_directories(
    *, refresh: bool = False, members: bool = False, folder: Folder = HERE, output: Output = Output()
) -> int:
    """List the directories of the configuration, and how the last look at each ended. A running server uses what is found.

    Parameters
    ----------
    refresh
        Look at each now; the exit status is 5 where one could not be used.
    members
        List their servers instead.
    """
    async with parts_of(folder) as wiring:
        directories = wiring.directories
        await directories.load()
        found = await directories.refresh_all() if refresh else directories.status()
        servers = directories.members()
    status = EXIT_WARNED if refresh and any(one.reason for one in found) else 0
    if members:
        items = [{"host": server.host, "display_name": server.display_name} for server in servers]
        rows = ((server.host, server.display_name) for server in servers)
        output.terminal().table({"items": items}, ("HOST", "NAME"), rows, empty="No directory lists a server.")
        return status
    columns = ("URL", "FEDERATION", "SERVERS", "LIST OF", "LOOKED AT", "FAULT")
    empty = "There are no directories; name some as [[directories]] in the configuration."
    output.terminal().table({"items": [_describe(one) for one in found]}, columns, map(_row, found), empty=empty)
    return status


async def renew(
    url: Annotated[str, Parameter(name="URL", help="Its URL in the configuration.")],
    /,
    *,
    reason: Reason = "",
    folder: Folder = HERE,
    output: Output = Output(),
) -> int:
    """Use the list of a directory as it is now, even where it is older than the one in use or does not say when it was signed.

    Ask the directory's operator first: somebody who keeps an old list brings servers back with it that were removed since.
    What was taken so is kept in the audit log (ocm peer audit).
    """
    async with parts_of(folder) as wiring:
        await wiring.directories.load()
        one = await wiring.directories.renew(url, act_for(reason))
    number = len(one.directory.servers) if one.directory else 0
    outcome = f"{one.reason}: {one.detail}" if one.reason else f"{number} server{'' if number == 1 else 's'}"
    output.terminal().show(_describe(one), f"{one.url}: {outcome}")
    return EXIT_FAILED if one.reason else 0


# ---------------------------------------------------------------- running one
def key(
    *,
    new: bool = False,
    kind: Kind = "ES256",
    use: str | None = None,
    retire: str | None = None,
    folder: Place = HERE,
    output: Output = Output(),
) -> None:
    """Make the key that signs the directory, or show what to hand out of it: a public key in PEM, and a JWK Set.

    To change the key without a gap: make another one (--new) and hand out the new public-keys.json, which holds both; when every
    member has it, let the new one sign (--use) and sign the list; later remove the old one (--retire).

    Parameters
    ----------
    new
        Make another key beside the one there is; it does not sign yet.
    kind
        What kind of key is made. Every reader of directories should take ES256.
    use
        Let the key of this KID sign from now on.
    retire
        Remove the key of this KID, which must not be the one that signs.
    """
    directory = _directory(folder)
    done = _change_keys(directory, new=new, kind=kind, use=use, retire=retire)
    keys = directory.keys()
    public = {"keys": [one.jwk for one in keys]}
    document = {"done": done, "items": [_describe_key(one) for one in keys], "jwk_set": public}
    lines = [done] if done else []
    for one in keys:
        lines += [f"{one.kid} ({one.kind}){', which signs' if one.signs else ''}:", *one.pem.splitlines(), ""]
    lines += ["As a JWK Set:", json.dumps(public), "", f"Hand it out over a safe way: {folder / 'public-keys.json'}"]
    output.terminal().show(document, *lines)


def _change_keys(directory: "DirectoryFolder", *, new: bool, kind: Kind, use: str | None, retire: str | None) -> str:
    from opencloudmesh.protocol.errors import NotFound

    if use is not None:
        return f"{directory.use_key(use).kid} signs from now on. Next: ocm directory sign"
    if retire is not None:
        return f"Removed {directory.retire_key(retire).kid}."
    if not new:
        try:
            directory.keys()
        except NotFound:
            new = True
    return f"Made {directory.make_key(kind).kid}." if new else ""


def add(
    url: Annotated[str, Parameter(name="URL", help="The server's address, such as https://cloud.example.org.")],
    /,
    *,
    name: str = "",
    federation: str | None = None,
    folder: Place = HERE,
    output: Output = Output(),
) -> None:
    """List a server; one that is listed gets the new name. Sign the list to publish it.

    Parameters
    ----------
    name
        The name of the server that people are shown; without one its host.
    federation
        The name of the federation; needed once.
    """
    directory = _directory(folder)
    if federation is not None:
        directory.name(federation)
    server = directory.add(url, name or url.partition("://")[2].strip("/"))
    document = {"url": server.url, "display_name": server.display_name}
    output.terminal().show(document, f"Listed {server.url} as {server.display_name}. Next: ocm directory sign")


def remove(
    url: Annotated[str, Parameter(name="URL", help="The server's address, or its host.")],
    /,
    *,
    folder: Place = HERE,
    output: Output = Output(),
) -> None:
    """List a server no more. Sign the list to publish it: the members follow when they look next, mostly within an hour."""
    server = _directory(folder).remove(url)
    document = {"url": server.url, "display_name": server.display_name}
    output.terminal().show(document, f"{server.url} is listed no more. Next: ocm directory sign")


def sign(*, to: Path | None = None, folder: Place = HERE, output: Output = Output()) -> None:
    """Sign the list as it is now: a JWS in flattened JSON, for any web server to host; the old file is replaced at once.

    Parameters
    ----------
    to
        Write it there, in place of directory.json in the directory's folder.
    """
    file, federation, count, signed_by = _directory(folder).sign(to)
    document = {"file": str(file), "federation": federation, "servers": count, "signed_by": signed_by}
    output.terminal().show(document, f"Signed {file}: {federation}, {count} server{'' if count == 1 else 's'}, with {signed_by}.")


async def serve(*, listen: str = "127.0.0.1:8090", folder: Place = HERE, output: Output = Output()) -> None:
    """Serve the signed list at /directory.json until SIGTERM or Ctrl-C, behind a reverse proxy with TLS.

    A list that is signed anew is served from then on. Any other web server does as well: host the file as application/jose+json.

    Parameters
    ----------
    listen
        Where it listens, HOST:PORT.
    """
    from opencloudmesh import bootstrap

    await bootstrap.serve_directory(folder, listen)


def _directory(folder: Path) -> "DirectoryFolder":
    from opencloudmesh import bootstrap

    return bootstrap.directory_folder(folder)


def _describe_key(one: "DirectoryKey") -> dict[str, Any]:
    return {"kid": one.kid, "kind": one.kind, "signs": one.signs, "pem": one.pem}


def _row(one: "DirectoryStatus") -> tuple[str, ...]:
    return (
        one.url,
        one.directory.federation if one.directory else "",
        str(len(one.directory.servers)) if one.directory else "",
        format_time(one.fetched_at) if one.directory else "never",
        format_time(one.checked_at) if one.checked_at else "never",
        f"{one.reason}: {one.detail}" if one.reason else "",
    )


def _describe(one: "DirectoryStatus") -> dict[str, object]:
    return {
        "url": one.url,
        "federation": one.directory.federation if one.directory else None,
        "servers": len(one.directory.servers) if one.directory else 0,
        "fetched_at": one.fetched_at or None,
        "checked_at": one.checked_at or None,
        "reason": one.reason,
        "detail": one.detail,
    }
