"""A Directory Service of ours: its files, and a server for them alone (Appendix C)."""

import time
from pathlib import Path

import structlog

from opencloudmesh.adapters.directory_folder import SIGNED, DirectoryFolder
from opencloudmesh.adapters.logs import configure_logs
from opencloudmesh.config.rendering import parse_listen
from opencloudmesh.protocol.errors import Conflict
from opencloudmesh.web.server import serve
from opencloudmesh.web.signed_list import PATH, SignedList

_log = structlog.get_logger(__name__)


def directory_folder(folder: Path) -> DirectoryFolder:
    """The directory in this folder."""
    return DirectoryFolder(folder, clock=time.time)


async def serve_directory(folder: Path, listen: str) -> None:
    """Serve the signed list of this folder until SIGTERM or SIGINT; a list that is signed anew is served from then on."""
    host, port = parse_listen(listen)
    file = folder / SIGNED
    if not file.is_file():
        raise Conflict(
            f"There is no signed list at {file}.", code="directory-not-signed", hint="Sign it first: ocm directory sign"
        )
    configure_logs("info")
    _log.info("serving", directory=str(file), listen=f"{host}:{port}", path=PATH)
    await serve(SignedList(file), host=host, port=port)
