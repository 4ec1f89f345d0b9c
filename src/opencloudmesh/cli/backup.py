"""`ocm backup` and `ocm restore`: a copy of a running server, and the way back."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Group, Parameter

from opencloudmesh.cli.beside import quiet_logs
from opencloudmesh.cli.faults import BackupWithFaults
from opencloudmesh.cli.formats import format_size
from opencloudmesh.cli.terminal import Output

if TYPE_CHECKING:
    from opencloudmesh.adapters.backup import Restored
    from opencloudmesh.config import Settings


def register(app: App, group: Group) -> None:
    """Add the commands of this module."""
    app.command(backup, group=group)
    app.command(restore, group=group)


def backup(
    folder: Annotated[Path, Parameter(name="DIR")],
    target: Annotated[Path, Parameter(name="TARGET")],
    /,
    *,
    without_files: bool = False,
    without_keys: bool = False,
    output: Output = Output(),
) -> None:
    """Make a backup of a server, which may be running: database, configuration, keys, users' files.

    Everything that the server had answered for when the backup began is in it. PostgreSQL needs pg_dump.

    Exit status: 0 made, 5 made, but the named files are missing or changed while they were copied, 1 nothing was made.

    Parameters
    ----------
    folder
        The server's folder, made by ocm init.
    target
        A folder that gets a new folder opencloudmesh-backup-TIME, or the name of a new file that ends in .tar.
    without_files
        Leave the users' files out: save them by other means, after this command.
    without_keys
        Leave the keys out. Keys and database together open every share; keep a copy of the keys somewhere else.
    """
    from opencloudmesh import bootstrap

    quiet_logs()
    terminal = output.terminal()
    made = bootstrap.back_up(folder, target, with_keys=not without_keys, with_files=not without_files, say=terminal.note)
    if made.not_copied:
        failed = [{"path": each.path, "code": each.code, "message": each.message} for each in made.not_copied]
        raise BackupWithFaults(f"The backup {made.place} was made, but not all files could be copied as they are.", failed)
    terminal.show(
        {
            "place": str(made.place),
            "database_bytes": made.database_bytes,
            "files": made.files,
            "bytes": made.bytes,
            "with_keys": made.with_keys,
            "with_files": made.with_files,
        },
        f"Made {made.place}: the database ({format_size(made.database_bytes)})"
        + (f", {_files(made.files)} ({format_size(made.bytes)})" if made.with_files else ", without the users' files")
        + (", the configuration and the keys." if made.with_keys else " and the configuration, without the keys."),
        _keep_safe(made.with_keys),
    )


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _keep_safe(with_keys: bool) -> str:
    if with_keys:
        return "Keys and database together open every share: keep this backup as safe as the server, or use --without-keys."
    return "It is worth nothing without secrets.key: keep a copy of the keys folder in another safe place."


def restore(
    backup: Annotated[Path, Parameter(name="BACKUP")],
    folder: Annotated[Path, Parameter(name="DIR")],
    /,
    *,
    output: Output = Output(),
) -> None:
    """Bring a backup back into an empty folder; all of it is checked before anything is written.

    For PostgreSQL, or where the configuration names other folders, OCM_DATABASE_URL and OCM_DATA_DIR may name new, empty ones.

    Parameters
    ----------
    backup
        What ocm backup made: a folder or a .tar file.
    folder
        The server's new folder; it is made if there is none.
    """
    from opencloudmesh import bootstrap

    quiet_logs()
    settings, restored = bootstrap.bring_back(backup, folder)
    output.terminal().show(
        {
            "folder": str(folder),
            "origin": settings.origin,
            "files": restored.files,
            "bytes": restored.bytes,
            "with_keys": restored.with_keys,
            "with_files": restored.with_files,
        },
        f"Restored {settings.origin} into {folder}: {_files(restored.files)} ({format_size(restored.bytes)}).",
        *_what_remains(settings, restored, folder),
    )


def _what_remains(settings: "Settings", restored: "Restored", folder: Path) -> list[str]:
    lines = ["What remains to do:"]
    if not restored.with_keys:
        lines.append(f"- Put the signing keys and secrets.key of the old server into {settings.keys_dir} (mode 0600).")
    if not restored.with_files:
        lines.append(f"- Put the users' files into {settings.data_dir / 'files'}.")
    if os.geteuid() == 0:
        lines.append("- Give all of it to the user that runs the server: chown -R.")
    lines.append("- See that the old server does not run any more: two servers of one origin confuse every peer.")
    lines.append(f"- Start it: ocm serve {folder}. What waited to be delivered is sent again.")
    lines.append("- Shares that were ended after the backup was made stand again: ocm shares, ocm unshare.")
    lines.append(f"- Let this server and the others agree again: ocm shares repair --all --resend --dir {folder}")
    return lines
