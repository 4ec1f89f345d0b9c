"""`ocm ls|get|put|mkdir|rm`: the user's own files, and received shares under "Shared with me", by WebDAV (/dav/files/<user>/)."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Group, Parameter

from opencloudmesh.cli.faults import Failures, UsageFault, failure
from opencloudmesh.cli.formats import DENIED, format_size, format_time, is_denied, remote_path, unavailability_of
from opencloudmesh.cli.terminal import Output, Terminal
from opencloudmesh.protocol.errors import AccessDenied, InvalidInput, NotFound

if TYPE_CHECKING:
    from opencloudmesh.cli.own_files import OwnFiles
    from opencloudmesh.cli.transfers import Report
    from opencloudmesh.services.ports import Entry


_RECEIVED_FOLDER = "Shared with me"


def register(app: App, group: Group) -> None:
    """Add the commands of this module."""
    for command in (ls, get, put, mkdir, rm):
        app.command(command, group=group)


async def ls(path: str = "", /, *, output: Output = Output()) -> None:
    """List a folder, or show one file.

    Parameters
    ----------
    path
        The folder or file; without it all your files.
    """
    from opencloudmesh.cli.own_files import own_files

    wanted = remote_path(path)
    async with own_files() as files:
        entry = await files.entry(wanted)
        found = [item async for item in files.list(wanted)] if entry.is_folder else [entry]
        marks = await _marks() if wanted == _RECEIVED_FOLDER else {}
    found.sort(key=lambda item: (not item.is_folder, item.name.casefold(), item.name))
    rows = (
        (
            "" if item.is_folder else format_size(item.size),
            format_time(item.modified_at),
            item.name + "/" * item.is_folder,
            *((unavailability_of(marks.get(item.path, {})),) if marks else ()),
        )
        for item in found
    )
    shown = next((item for item in (entry, *found) if item.seen_at is not None), entry)
    document = {
        "path": wanted,
        "seen_at": shown.seen_at,
        "unavailable_since": entry.unavailable_since,
        "items": [_describe(item, marks.get(item.path, {})) for item in found],
    }
    columns = ("SIZE", "CHANGED", "NAME", *(("STATE",) if marks else ()))
    terminal = output.terminal()
    terminal.table(document, columns, rows, empty="The folder is empty.")
    if shown.seen_at is not None:
        since = shown.unavailable_since
        away = "does not answer just now" if since is None else f"gives no access since {format_time(since)}"
        terminal.note(f"The owner's server {away}: this is how it was seen at {format_time(shown.seen_at)}.")
    if any(map(is_denied, marks.values())):
        terminal.note(f"{DENIED}: your server does not deal with the server that gave you this; its operator knows why.")


async def _marks() -> dict[str, Mapping[str, Any]]:
    """Received shares that are unavailable, by their path."""
    from opencloudmesh.cli.client import signed_in

    async with signed_in() as (api, _):
        items = await api.items("/inbox")
    return {str(item.get("path")): item for item in items if unavailability_of(item) and item.get("path")}


def _describe(item: "Entry", marked: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "unavailable_since": marked.get("unavailable_since", item.unavailable_since),
        "unavailable_reason": DENIED if is_denied(marked) else marked.get("unavailable_reason", ""),
        "seen_at": item.seen_at,
        "path": item.path,
        "name": item.name,
        "is_folder": item.is_folder,
        "size": item.size,
        "modified_at": item.modified_at,
        "etag": item.etag,
        "content_type": item.content_type,
    }


async def get(source: str, target: str = ".", /, *, output: Output = Output()) -> None:
    """Fetch a file, or a folder with all it holds. What is there already is not fetched again; what was cut off goes on.

    Parameters
    ----------
    source
        The file or folder on your server.
    target
        Where to put it here. A folder is always put into TARGET; a file too where TARGET is a folder or ends with /.
    """
    from opencloudmesh.cli.download import Download
    from opencloudmesh.cli.own_files import own_files
    from opencloudmesh.cli.progress import draw_progress

    terminal = output.terminal()
    wanted = remote_path(source)
    async with own_files() as files:
        with draw_progress(terminal) as progress:
            report = await Download(files, progress).run(await files.entry(wanted), target)
    _conclude(terminal, report, "Fetched")


async def put(source: Path, target: str = "", /, *, output: Output = Output()) -> None:
    """Send a file, or a folder with all it holds. Files with the same size and time as on the server are not sent again.

    Parameters
    ----------
    source
        The file or folder here.
    target
        Where to put it on your server. A folder is always put into TARGET; a file too where TARGET is a folder or ends with /.
    """
    from opencloudmesh.cli.own_files import own_files
    from opencloudmesh.cli.progress import draw_progress
    from opencloudmesh.cli.upload import Upload

    terminal = output.terminal()
    remote_path(target)
    async with own_files() as files:
        with draw_progress(terminal) as progress:
            report = await Upload(files, progress).run(source, target)
    _conclude(terminal, report, "Sent")


def _conclude(terminal: Terminal, report: "Report", verb: str) -> None:
    for path in report.skipped:
        terminal.note(f"Left out, neither file nor folder: {path}")
    if report.failed and report.total == 1:
        raise report.failed[0][1]
    if report.failed:
        raise Failures(
            f"{len(report.failed)} of {report.total} files could not be transferred.",
            [failure(path, error) for path, error in report.failed],
            code="transfer-incomplete",
            hint="Run the same command again: what is done is not transferred again.",
        )
    unchanged = f" ({report.unchanged} unchanged)" if report.unchanged else ""
    files = "1 file" if report.done == 1 else f"{report.done} files"
    terminal.show(report.document(), f"{verb} {files}, {format_size(report.size)}{unchanged}.")


async def mkdir(path: str, /, *, parents: Annotated[bool, Parameter(alias="-p")] = False, output: Output = Output()) -> None:
    """Make a folder.

    Parameters
    ----------
    path
        The new folder.
    parents
        Make the folders above it too, and do not mind if it exists.
    """
    from opencloudmesh.cli.own_files import own_files

    wanted = _not_the_root(path)
    async with own_files() as files:
        if parents:
            from opencloudmesh.cli.transfers import ensure_folder

            await ensure_folder(files, wanted)
        else:
            await files.make_folder(wanted)
    output.terminal().show({"path": wanted}, f"Made the folder {wanted}.")


async def rm(
    path: Annotated[str, Parameter(name="PATH")],
    /,
    *more: Annotated[str, Parameter(name="PATHS")],
    recursive: Annotated[bool, Parameter(alias="-r")] = False,
    output: Output = Output(),
) -> None:
    """Remove files, and folders with --recursive.

    Parameters
    ----------
    path
        A file or folder.
    more
        More of them.
    recursive
        Remove folders too, with all that they hold.
    """
    from opencloudmesh.cli.own_files import own_files

    wanted = [_not_the_root(each) for each in (path, *more)]
    removed: list[str] = []
    failed: list[Mapping[str, str]] = []
    async with own_files() as files:
        for each in wanted:
            try:
                await _remove(files, each, recursive)
                removed.append(each)
            except (NotFound, AccessDenied, InvalidInput) as error:
                if len(wanted) == 1:
                    raise
                failed.append(failure(each, error))
    if failed:
        raise Failures(f"{len(failed)} of {len(wanted)} could not be removed.", failed, code="rm-incomplete")
    output.terminal().show({"removed": removed}, *(f"Removed {each}." for each in removed))


async def _remove(files: "OwnFiles", path: str, recursive: bool) -> None:
    entry = await files.entry(path)
    if entry.is_folder and not recursive:
        hint = "Add --recursive to remove it with all it holds."
        raise FolderNotRemoved(f'"{path}" is a folder.', hint=hint)
    await files.remove(path)


class FolderNotRemoved(InvalidInput):
    """`ocm rm` of a folder without --recursive."""

    code = "is-a-folder"


def _not_the_root(path: str) -> str:
    wanted = remote_path(path)
    if not wanted:
        raise UsageFault("That is the folder of all your files.", code="path-invalid", hint="Name something in it.")
    return wanted
