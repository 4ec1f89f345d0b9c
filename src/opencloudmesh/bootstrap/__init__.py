"""The only place that builds adapters and wires services: from a folder with its configuration to a running server.

Each name is imported when it is asked for: a command needs no server, and a server neither backup nor doctor.
"""

import gc
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opencloudmesh.bootstrap.backup import back_up, bring_back
    from opencloudmesh.bootstrap.beside_server import Beside, beside
    from opencloudmesh.bootstrap.directory import directory_folder, serve_directory
    from opencloudmesh.bootstrap.doctor import own_doctor, peer_doctor
    from opencloudmesh.bootstrap.outside import new_token
    from opencloudmesh.bootstrap.server import Server, open_server, run
    from opencloudmesh.bootstrap.setting_up import initialise
    from opencloudmesh.bootstrap.wiring import Wiring

__all__ = [
    "Beside",
    "Server",
    "Wiring",
    "back_up",
    "beside",
    "bring_back",
    "directory_folder",
    "initialise",
    "new_token",
    "open_server",
    "own_doctor",
    "peer_doctor",
    "run",
    "serve_directory",
]
_MODULES = {
    "Beside": "beside_server",
    "Server": "server",
    "Wiring": "wiring",
    "back_up": "backup",
    "beside": "beside_server",
    "bring_back": "backup",
    "directory_folder": "directory",
    "initialise": "setting_up",
    "new_token": "outside",
    "open_server": "server",
    "own_doctor": "doctor",
    "peer_doctor": "doctor",
    "run": "server",
    "serve_directory": "directory",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    full_name = f"{__name__}.{_MODULES[name]}"
    return getattr(sys.modules.get(full_name) or _imported(full_name), name)


def _imported(full_name: str) -> ModuleType:
    """Import without looking for garbage, here and later: modules are none."""
    collects = gc.isenabled()
    gc.disable()
    try:
        return import_module(full_name)
    finally:
        gc.freeze()
        if collects:
            gc.enable()
