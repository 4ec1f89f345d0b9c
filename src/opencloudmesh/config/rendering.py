"""The commented configuration file of a new server."""

from collections.abc import Mapping
from dataclasses import fields

from opencloudmesh.config.origin import parse_origin
from opencloudmesh.config.settings import SECTIONS, TABLES, Settings
from opencloudmesh.protocol.errors import InvalidInput

_TOP = """# Configuration of an Open Cloud Mesh server.
# A setting behind "#" has the value that is shown, unless that is called an example: then it is empty.
# Every one of them outside [[...]] may also be given in the environment: OCM_ORIGIN, OCM_DELIVERY_RETRY_FIRST, ...;
# lists there are separated by commas.
"""


def render_default(origin: str, *, listen: str | None = None) -> str:
    """Write the commented file for a new server. Raises `InvalidInput` for a bad origin or listen address (HOST:PORT)."""
    given: dict[str, object] = {"origin": parse_origin(origin)}
    if listen is not None:
        given["listen_host"], given["listen_port"] = parse_listen(listen)
    parts = [_TOP, _render(Settings, given)]
    for name, kind in SECTIONS.items():
        parts += [f"\n# {kind.__doc__}\n[{name}]", _render(kind, {})]
    for name, kind in TABLES.items():
        parts += [f"\n# {kind.__doc__}\n# [[{name}]]", _render(kind, {})]
    return "\n".join(parts) + "\n"


def parse_listen(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise InvalidInput(f"`{text}` is not HOST:PORT.", code="listen-invalid", hint="Write it as 127.0.0.1:8080.")
    return host.strip("[]"), int(port)


def _render(kind: type, given: Mapping[str, object]) -> str:
    lines = []
    for field in fields(kind):
        if "doc" in field.metadata:
            example = field.metadata["example"]
            value = f"{example}  # an example" if example else _toml(given.get(field.name, field.default))
            lines += [f"# {field.metadata['doc']}", f"{'' if field.name in given else '# '}{field.name} = {value}"]
    return "\n".join(lines)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) and value < 1e6 else str(int(value))
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
