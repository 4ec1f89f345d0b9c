"""The only place that builds adapters and wires services: from a folder with its configuration to a running server."""

from opencloudmesh.bootstrap.backup import back_up, bring_back
from opencloudmesh.bootstrap.directory import directory_folder, serve_directory
from opencloudmesh.bootstrap.doctor import own_doctor, peer_doctor
from opencloudmesh.bootstrap.outside import new_token
from opencloudmesh.bootstrap.server import Server, beside, open_server, run
from opencloudmesh.bootstrap.setting_up import initialise
from opencloudmesh.bootstrap.wiring import Wiring

__all__ = [
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
