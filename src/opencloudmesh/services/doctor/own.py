"""The walk of `ocm doctor` without a peer: what is on this machine, and our server as others see it.

Rules kept here: as for other servers (see `peer`); our server is reached through its public address, but for one look at the very
place where it listens.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from opencloudmesh.protocol.address import host_of_url
from opencloudmesh.services.doctor.discovery import WELL_KNOWN, look_at_clock, look_at_discovery, look_at_legacy
from opencloudmesh.services.doctor.findings import Finding, Seen, fail, note, warn
from opencloudmesh.services.doctor.key_set import PATH, look_at_keys
from opencloudmesh.services.doctor.looks import Look, look
from opencloudmesh.services.doctor.own_homes import look_at_homes
from opencloudmesh.services.doctor.own_side import (
    OwnFolder,
    look_at_database,
    look_at_disks,
    look_at_key_files,
    look_at_settings,
)
from opencloudmesh.services.doctor.reaching import look_at_dns, look_at_tcp, look_at_tls
from opencloudmesh.services.doctor.self_check import credential
from opencloudmesh.services.doctor.through_proxy import (
    look_at_arrival,
    look_at_dav_body,
    look_at_dialog,
    look_at_message_body,
    look_at_messages,
    look_at_methods,
    look_at_signature,
)
from opencloudmesh.services.doctor.visit import Instruments, OwnVisit
from opencloudmesh.services.doctor.walk import WALK_SECONDS, Report, Step, walk
from opencloudmesh.services.doctor.webdav_root import look_at_webdav
from opencloudmesh.services.ports import HttpClient, Signer, TokenIssuer

_LOCAL_SECONDS: Final = 4.0
_AT_RUN_TIME: Final = frozenset({"criteria"})


@dataclass(frozen=True, slots=True)
class OwnServer:
    """What our configuration says: `listener` is the URL of the place where the server listens, empty where it is not known.

    `discovery` builds the document; what operators decided at run time is not in it.
    """

    origin: str
    listener: str
    discovery: Callable[[], Mapping[str, Any]]
    message_bytes: int
    trusts_proxy: Callable[[str], bool]


class OwnDoctor:
    """Looks at our own server. `local_http` may go where the server listens, and nowhere else."""

    def __init__(
        self,
        *,
        instruments: Instruments,
        server: OwnServer,
        folder: OwnFolder,
        local_http: HttpClient,
        issuer_for: Callable[[Signer], TokenIssuer],
    ) -> None:
        self._instruments = instruments
        self._server = server
        self._folder = folder
        self._local_http = local_http
        self._issuer_for = issuer_for

    async def examine(self, *, seconds: float = WALK_SECONDS) -> Report:
        """Walk through all steps."""
        server, tools = self._server, self._instruments
        host = host_of_url(server.origin)
        visit = OwnVisit(host, server.origin, True, tools, listener=server.listener, trusts_proxy=server.trusts_proxy)
        results = await walk(self._steps(), visit, seconds=seconds)
        return Report(host, True, tools.clock(), results)

    def _steps(self) -> tuple[Step[OwnVisit], ...]:
        async def settings(_: OwnVisit) -> Seen:
            return look_at_settings(self._folder)

        async def database(_: OwnVisit) -> Seen:
            return await look_at_database(self._folder)

        async def disk(_: OwnVisit) -> Seen:
            return look_at_disks(self._folder)

        async def homes(_: OwnVisit) -> Seen:
            return await look_at_homes(self._folder)

        async def message_body(visit: OwnVisit) -> Seen:
            return await look_at_message_body(visit, self._server.message_bytes)

        return (
            Step("settings", settings),
            Step("key-files", self._key_files),
            Step("database", database, needs=("key-files",)),
            Step("disk", disk),
            Step("homes", homes, needs=("database",)),
            Step("running", self._running, after=("key-files",), seconds=5.0),
            Step("dns", look_at_dns, seconds=4.0),
            Step("tcp", look_at_tcp, needs=("dns",), seconds=4.5),
            Step("tls", look_at_tls, needs=("tcp",), seconds=5.0),
            Step("discovery", look_at_discovery, needs=("tls",)),
            Step("legacy", look_at_legacy, needs=("tls",), after=("discovery",)),
            Step("keys", look_at_keys, needs=("tls",), after=("discovery",)),
            Step("identity", self._identity, needs=("discovery", "keys", "database")),
            Step("clock", self._clock, needs=("tls",), after=("discovery",)),
            Step("messages", look_at_messages, needs=("tls",)),
            Step("webdav", look_at_webdav, needs=("discovery",)),
            Step("methods", look_at_methods, needs=("tls",), after=("messages",)),
            Step("dialog", look_at_dialog, needs=("discovery",), after=("messages",)),
            Step("arrival", look_at_arrival, needs=("tls", "key-files")),
            Step("signature", look_at_signature, needs=("arrival",)),
            Step("message-body", message_body, needs=("signature",)),
            Step("dav-body", look_at_dav_body, needs=("arrival",), after=("message-body",)),
        )

    # ------------------------------------------------------------ steps
    async def _key_files(self, visit: OwnVisit) -> Seen:
        visit.signer, seen = look_at_key_files(self._folder)
        visit.credential = credential(self._issuer_for(visit.signer), visit.origin, visit.instruments.clock())
        return seen

    async def _running(self, visit: OwnVisit) -> Seen:
        """The place where the server listens on this machine: is it there, is it ours, is it well?"""
        if not visit.listener:
            sentence = "listen_port is 0: the server takes any free port, which is not known here."
            return Seen("not known where it listens", {}, (note("listener-unknown", sentence),))
        clock = visit.instruments.clock
        keys = await look(self._local_http, clock, "GET", visit.listener + PATH, seconds=_LOCAL_SECONDS)
        facts = {"asked": keys.facts()}
        if fault := _not_there(visit, keys):
            return Seen(fault.sentence, facts, (fault,))
        ready = await look(self._local_http, clock, "GET", visit.listener + "/readyz", seconds=_LOCAL_SECONDS)
        findings: list[Finding] = []
        if ready.status != 200:
            us = "Look into the server's log: its database does not answer."
            findings.append(fail("not-ready", f"The server runs, and says that it is not ready ({ready.status}).", us=us))
        return Seen(f"listens at {visit.listener}", facts, tuple(findings))

    async def _identity(self, visit: OwnVisit) -> Seen:
        return judge_identity(visit, self._server.discovery())

    async def _clock(self, visit: OwnVisit) -> Seen:
        seen = await look_at_clock(visit)
        if self._folder.clock_is_kept() is not False:
            return seen
        kept = note("clock-not-kept", "No time service keeps this machine's clock: it may drift, until signatures are refused.")
        return Seen(seen.summary, seen.facts, (*seen.findings, kept))


def judge_identity(visit: OwnVisit, expected: Mapping[str, Any]) -> Seen:
    """Whether what is published is of this server; `expected` is the document that it builds."""
    assert visit.signer is not None  # noqa: S101 - needs key-files
    findings: list[Finding] = []
    published = visit.discovery.raw if visit.discovery else {}
    names = {*published, *expected} - _AT_RUN_TIME
    differing = sorted(name for name in names if published.get(name) != expected.get(name))
    if "endPoint" in differing:
        us = "Let the public address lead to this server, and restart the server if its configuration was changed."
        sentence = f"{visit.origin}{WELL_KNOWN} is the document of another server: endPoint is not ours."
        findings.append(fail("own-discovery-foreign", sentence, us=us))
    elif differing:
        us = "Restart the server, so that it reads the configuration again."
        sentence = f"The document published is not that of the configuration: {', '.join(differing[:8])} differ."
        findings.append(warn("own-discovery-outdated", sentence, us=us))
    if visit.keys is None or visit.keys.get(visit.signer.keyid) is None:
        us = "Let the public address lead to this server; if it does, restart it: its key was changed."
        sentence = f"{visit.origin}{PATH} does not have the key of this folder ({visit.signer.keyid})."
        findings.append(fail("own-key-missing", sentence, us=us))
    return Seen("the document and the key of this folder" if not findings else findings[0].sentence, {}, tuple(findings))


def _not_there(visit: OwnVisit, keys: Look) -> Finding | None:
    if keys.error is not None:
        us = "Start it: ocm serve DIR (or your service manager). If it runs, compare listen_host and listen_port."
        return fail("not-running", f"No server answers at {visit.listener} ({keys.error.code}).", us=us)
    document = keys.json
    members = document.get("keys") if isinstance(document, dict) else None
    kids = [jwk.get("kid") for jwk in members if isinstance(jwk, dict)] if isinstance(members, list) else []
    if visit.signer is not None and visit.signer.keyid not in kids:
        us = "Stop the other program, or choose another listen_port; if it is this server, restart it: its key was changed."
        return fail("listener-foreign", f"What answers at {visit.listener} does not have the key of this folder.", us=us)
    return None
