"""From a file and the environment to `Settings`, or to all that is wrong with them."""

import dataclasses
import difflib
import importlib
import os
import shlex
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from ipaddress import ip_network
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

from opencloudmesh.config.origin import holds, parse_origin
from opencloudmesh.config.places import line_of_same_table, line_that_breaks, lines_of_keys
from opencloudmesh.config.settings import (
    CONFIG_FILE,
    FORWARDED_HEADERS,
    LOG_LEVELS,
    SECTIONS,
    SIGNATURE_PROFILES,
    TRUST_MODES,
    UNIX_SOCKET,
    DirectorySettings,
    RouteSettings,
    Settings,
    setting_names,
)
from opencloudmesh.config.values import TYPES, from_text
from opencloudmesh.protocol.address import host_of_url, parse_host
from opencloudmesh.protocol.errors import InvalidInput, LocalFault

PREFIX = "OCM_"
OTHER_VARIABLES = frozenset({"OCM_CONFIG_DIR"})
"""Variables of the command line, which are no settings of a server."""


@dataclass(frozen=True, slots=True)
class SettingFault:
    """One thing that is wrong: where (file:line, or a variable), and what."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class ConfigError(LocalFault):
    """The configuration does not hold; `faults` names everything that is wrong with it."""

    code = "config-invalid"

    def __init__(self, faults: tuple[SettingFault, ...], *, hint: str = "Correct these settings and start again.") -> None:
        super().__init__("\n".join(str(fault) for fault in faults), hint=hint)
        self.faults = faults


class DriverMissing(LocalFault):
    """The database is PostgreSQL, and what speaks with it is not installed."""

    code = "database-driver-missing"

    def __init__(self, place: str) -> None:
        command = f"{shlex.quote(sys.executable)} -m pip install 'psycopg[binary]>=3.2'"
        super().__init__(
            f"{place}: the database is PostgreSQL, and the package psycopg that speaks with it is not installed.",
            hint=f"Install it: {command}",
        )


def load_settings(folder: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of the server in `folder`. Raises `ConfigError` with all faults, `DriverMissing`."""
    file = folder / CONFIG_FILE
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        fault = SettingFault(str(file), "there is no such file; `ocm init` writes one")
        raise ConfigError((fault,), hint="Name the server's folder: --dir DIR (ocm serve DIR).") from None
    except (OSError, UnicodeDecodeError):
        raise ConfigError((SettingFault(str(file), "cannot be read as text"),)) from None
    return parse_settings(folder, text, environ)


def parse_settings(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the text of a file that stands, or will stand, in `folder`.

    Raises `ConfigError` with all faults, `DriverMissing`.
    """
    return _Reader(folder.absolute(), folder / CONFIG_FILE, text).read(os.environ if environ is None else environ)


class _Reader:
    """One reading of a file and the environment; collects faults instead of stopping at the first."""

    def __init__(self, folder: Path, file: Path, text: str) -> None:
        self._folder = folder
        self._file = file
        self._text = text
        self._lines = dict(lines_of_keys(text))
        self._faults: list[SettingFault] = []
        self._places: dict[str, str] = {}
        self._lists: set[object] = set()

    def read(self, environ: Mapping[str, str]) -> Settings:
        document = self._parse()
        variables = self._variables(environ)
        values = {name: self._table(kind, document.pop(name, {}), name, variables) for name, kind in SECTIONS.items()}
        routes = tuple(self._route(table, prefix) for table, prefix in self._tables("routes", document))
        directories = tuple(self._directory(table, prefix) for table, prefix in self._tables("directories", document))
        values |= self._fields(Settings, document, "", variables)
        for name, (variable, _) in variables.items():
            self._unknown(variable, variable, [PREFIX + known.upper().replace(".", "_") for known in setting_names()], name)
        settings = dataclasses.replace(Settings(**values), routes=routes, directories=directories)
        settings = self._resolved(dataclasses.replace(settings, origin=self._origin(settings)))
        self._check_hosts(settings)
        self._check_words(settings)
        if self._faults:
            raise ConfigError(tuple(self._faults))
        self._check_driver(settings)
        return settings

    def _parse(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self._text)
        except tomllib.TOMLDecodeError:
            line = line_that_breaks(self._text)
            earlier = line_of_same_table(self._text, line)
            what = (
                f"this table stands already at line {earlier}: write its settings there"
                if earlier
                else "this line is not valid TOML"
            )
            raise ConfigError((SettingFault(f"{self._file}:{line}", what),)) from None

    def _variables(self, environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
        """The OCM_* variables by the name of their setting."""
        names = {PREFIX + name.upper().replace(".", "_"): name for name in setting_names()}
        mine = {key: text for key, text in environ.items() if key.startswith(PREFIX) and key not in OTHER_VARIABLES}
        return {names.get(key, key): (key, text) for key, text in sorted(mine.items())}

    def _table(self, kind: type, table: object, name: str, variables: dict[str, tuple[str, str]]) -> Any:
        if not isinstance(table, dict):
            self._fault(self._place(name), f"`{name}` is a section: write [{name}]")
            table = {}
        return kind(**self._fields(kind, table, f"{name}.", variables))

    def _tables(self, name: str, document: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
        """The repeated tables of this name, each with the start of its keys' full names."""
        tables = document.pop(name, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self._fault(self._place(name), f"`{name}` are tables: write [[{name}]]")
            return []
        return [(table, f"{name}.{index}") for index, table in enumerate(tables)]

    def _directory(self, table: dict[str, Any], prefix: str) -> DirectorySettings:
        directory = DirectorySettings(**self._fields(DirectorySettings, table, f"{prefix}.", {}))
        for required in ("url", "keys_file"):
            if not getattr(directory, required):
                self._fault(self._place(prefix), f"a directory needs `{required}`")
        if directory.url and not holds(host_of_url, directory.url):
            self._fault(
                self._place(f"{prefix}.url"), f"`{directory.url}` is not a URL such as https://directory.example.org/list"
            )
        place = (host_of_url(directory.url), urlsplit(directory.url)[2:4]) if holds(host_of_url, directory.url) else None
        if place in self._lists:
            what = "stands in another [[directories]] already: name it once, with all its keys in one file"
            self._fault(self._place(f"{prefix}.url"), f"`{directory.url}` {what}")
        if place is not None:
            self._lists.add(place)
        return dataclasses.replace(directory, keys_file=directory.keys_file and self._folder / directory.keys_file)

    def _route(self, table: dict[str, Any], prefix: str) -> RouteSettings:
        route = RouteSettings(**self._fields(RouteSettings, table, f"{prefix}.", {}))
        for required in ("name", "hosts"):
            if not getattr(route, required):
                self._fault(self._place(prefix), f"a route needs `{required}`")
        if route.plain_http and not route.networks:
            self._fault(self._place(f"{prefix}.plain_http"), "`plain_http` needs the `networks` that it is meant for")
        for network in route.networks:
            if not holds(ip_network, network):
                self._fault(self._place(f"{prefix}.networks"), f"`{network}` is not a network such as 10.0.0.0/8")
        for host in route.hosts:
            if not holds(parse_host, host if ":" not in host else f"[{host.strip('[]')}]"):
                self._fault(self._place(f"{prefix}.hosts"), f"`{host}` is not a host")
        return dataclasses.replace(route, ca_file=route.ca_file and self._folder / route.ca_file)

    def _fields(self, kind: type, table: dict[str, Any], prefix: str, variables: dict[str, tuple[str, str]]) -> dict[str, Any]:
        known = {field.name: field for field in fields(kind) if "doc" in field.metadata}
        types = get_type_hints(kind)
        values = {}
        for name, value in table.items():
            place = self._place(prefix + name)
            if name not in known:
                self._unknown(place, name, [*known, *(SECTIONS if kind is Settings else ())], prefix + name)
            elif (read := self._value(place, known[name], types[name], value)) is not None:
                values[name] = read
                self._places[prefix + name] = place
        for name in known:
            if found := variables.pop(prefix + name, None):
                variable, text = found
                if (read := self._value(variable, known[name], types[name], from_text(types[name], text))) is not None:
                    values[name] = read
                    self._places[prefix + name] = variable
        return values

    def _value(self, place: str, field: "dataclasses.Field[Any]", kind: Any, value: Any) -> Any:
        """The value as its type, or None with a fault."""
        words, convert = TYPES[kind]
        read = convert(value)
        if read is None:
            self._fault(place, f"`{field.name}` is {words}")
            return None
        least, most = field.metadata["least"], field.metadata["most"]
        for number in read if isinstance(read, tuple) else (read,):
            if (least is not None and number < least) or (most is not None and number > most):
                limits = f"between {least} and {most}" if most is not None else f"at least {least}"
                self._fault(place, f"`{field.name}` is {limits}")
                return None
        return read

    def _origin(self, settings: Settings) -> str:
        place = self._places.get("origin") or f"{self._file}:1"
        if not settings.origin:
            if "origin" not in self._lines and not any(fault.place == "OCM_ORIGIN" for fault in self._faults):
                self._fault(place, "`origin` is missing: the public address, such as https://cloud.example.org")
            return ""
        try:
            return parse_origin(settings.origin, settings.routes)
        except InvalidInput as error:
            self._fault(place, error.sentence)
            return ""

    def _resolved(self, settings: Settings) -> Settings:
        data_dir = self._folder / settings.data_dir
        url = settings.database_url or f"sqlite:///{data_dir / 'opencloudmesh.sqlite3'}"
        return dataclasses.replace(settings, data_dir=data_dir, keys_dir=self._folder / settings.keys_dir, database_url=url)

    def _check_driver(self, settings: Settings) -> None:
        if settings.database_url.startswith(("postgresql", "postgres:")):
            try:
                importlib.import_module("psycopg")
            except ImportError:
                raise DriverMissing(self._places["database_url"]) from None

    def _check_hosts(self, settings: Settings) -> None:
        for name in ("allowlist", "denylist"):
            for host in getattr(settings.trust, name):
                if not holds(parse_host, host):
                    self._fault(self._places[f"trust.{name}"], f"`{host}` is not a host such as cloud.example.org")

    def _check_words(self, settings: Settings) -> None:
        if settings.trust.mode not in TRUST_MODES:
            self._fault(self._places["trust.mode"], f"`{settings.trust.mode}` is none of {', '.join(TRUST_MODES)}")
        if settings.logs.level not in LOG_LEVELS:
            self._fault(self._places["logs.level"], f"`{settings.logs.level}` is none of {', '.join(LOG_LEVELS)}")
        if settings.limits.forwarded_header not in FORWARDED_HEADERS:
            self._fault(
                self._places["limits.forwarded_header"],
                f"`{settings.limits.forwarded_header}` is none of {', '.join(FORWARDED_HEADERS)}",
            )
        self._check_profiles(settings.signatures.profiles)
        for network in settings.limits.trusted_proxies:
            if network != UNIX_SOCKET and not holds(ip_network, network):
                self._fault(self._places["limits.trusted_proxies"], f"`{network}` is not a network such as 10.0.0.0/8")

    def _check_profiles(self, names: tuple[str, ...]) -> None:
        place = self._places.get("signatures.profiles", "")
        if not names:
            self._fault(place, f"`profiles` names at least one of {', '.join(SIGNATURE_PROFILES)}")
        for name in names:
            if name not in SIGNATURE_PROFILES:
                self._fault(place, f"`{name}` is none of {', '.join(SIGNATURE_PROFILES)}")

    def _unknown(self, place: str, name: str, known: list[str], full_name: str) -> None:
        near = difflib.get_close_matches(name, known, 1)
        if not near:  # a right name in the wrong section
            elsewhere = [other for other in setting_names() if other.rpartition(".")[2] == full_name.rpartition(".")[2]]
            near = [f"{other.rpartition('.')[2]}` in `[{other.rpartition('.')[0]}]" for other in elsewhere if "." in other]
        self._fault(place, f"unknown setting `{name}`" + (f"; did you mean `{near[0]}`?" if near else ""))

    def _place(self, name: str) -> str:
        # A key inside of an inline table has no line of its own in the index: its table's line will do.
        while name and name not in self._lines:
            name = name.rpartition(".")[0]
        return f"{self._file}:{self._lines.get(name, 1)}"

    def _fault(self, place: str, message: str) -> None:
        self._faults.append(SettingFault(place, message))
