"""What an operator may set: `opencloudmesh.toml` in the server's folder, and OCM_* variables, which win over the file.

Rules: every setting is documented once, in `settings`, and `ocm init` writes the file from that; nothing unknown or mistyped
is passed over; all faults are told at once, each with its place; the public origin is https (design decision 4).
"""

from opencloudmesh.config.origin import parse_origin
from opencloudmesh.config.reading import ConfigError, SettingFault, load_settings, parse_settings
from opencloudmesh.config.rendering import render_default
from opencloudmesh.config.settings import CONFIG_FILE, RouteSettings, Settings

__all__ = [
    "CONFIG_FILE",
    "ConfigError",
    "RouteSettings",
    "SettingFault",
    "Settings",
    "load_settings",
    "parse_origin",
    "parse_settings",
    "render_default",
]
