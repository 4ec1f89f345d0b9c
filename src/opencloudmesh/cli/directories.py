"""`ocm directory list`: the Directory Services that say who is a member of the federation (Appendix C)."""

from typing import TYPE_CHECKING

from cyclopts import App, Group

from opencloudmesh.cli.beside import parts_of
from opencloudmesh.cli.formats import format_time
from opencloudmesh.cli.operator import HERE, Folder
from opencloudmesh.cli.terminal import PARAMETERS, Output

if TYPE_CHECKING:
    from opencloudmesh.services.directories import DirectoryStatus


def register(app: App, group: Group) -> None:
    """Add the commands of this module."""
    commands = App(
        name="directory", help="The directories whose servers are the federation.", group=group, default_parameter=PARAMETERS
    )
    commands.command(list_directories, name="list")
    app.command(commands)


async def list_directories(
    *, refresh: bool = False, members: bool = False, folder: Folder = HERE, output: Output = Output()
) -> None:
    """List the directories of the configuration, and how the last look at each ended.

    Parameters
    ----------
    refresh
        Look at each now.
    members
        List their servers instead.
    """
    async with parts_of(folder) as wiring:
        directories = wiring.directories
        await directories.load()
        found = await directories.refresh_all() if refresh else directories.status()
        servers = directories.members()
    if members:
        items = [{"host": server.host, "display_name": server.display_name} for server in servers]
        rows = ((server.host, server.display_name) for server in servers)
        output.terminal().table({"items": items}, ("HOST", "NAME"), rows, empty="No directory lists a server.")
        return
    columns = ("URL", "FEDERATION", "SERVERS", "LIST OF", "LOOKED AT", "FAULT")
    empty = "There are no directories; name some as [[directories]] in the configuration."
    output.terminal().table({"items": [_describe(one) for one in found]}, columns, map(_row, found), empty=empty)


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
