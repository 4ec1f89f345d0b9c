"""From a server's folder to a backup of it, and from a backup to a folder."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from opencloudmesh import __version__
from opencloudmesh.adapters.backup import BackupFault, Made, Parts, Places, Restored, make_backup, open_backup, restore_backup
from opencloudmesh.config import CONFIG_FILE, Settings, load_settings, parse_settings


def back_up(folder: Path, place: Path, *, with_keys: bool, with_files: bool, say: Callable[[str], None]) -> Made:
    """Back the server in `folder` up, which may be running. Raises `ConfigError`, `BackupFault`."""
    settings = load_settings(folder)
    parts = Parts(
        folder=folder.absolute(),
        config=folder / CONFIG_FILE,
        keys=settings.keys_dir,
        data=settings.data_dir,
        files=settings.data_dir / "files",
        database_url=settings.database_url,
        near_config=tuple(_near_config(settings, folder.absolute())),
        program=f"opencloudmesh {__version__}",
        origin=settings.origin,
    )
    made_at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return make_backup(parts, place.absolute(), made_at=made_at, with_keys=with_keys, with_files=with_files, say=say)


def bring_back(place: Path, folder: Path) -> tuple[Settings, Restored]:
    """Restore the backup at `place` into the empty `folder`. Raises `BackupFault`, `ConfigError`."""
    with open_backup(place.absolute()) as backup:
        try:
            text = backup.configuration().decode("utf-8")
        except UnicodeDecodeError:
            raise BackupFault("The configuration in this backup is no text.", code="backup-damaged") from None
        settings = parse_settings(folder, text)
        places = Places(
            folder=folder.absolute(),
            keys=settings.keys_dir,
            files=settings.data_dir / "files",
            database_url=settings.database_url,
        )
        return settings, restore_backup(backup, places)


def _near_config(settings: Settings, folder: Path) -> Iterator[str]:
    """The files in the server's folder that its configuration names."""
    for route in settings.routes:
        if route.ca_file is not None and route.ca_file.is_relative_to(folder) and ".." not in route.ca_file.parts:
            yield str(route.ca_file.relative_to(folder))
