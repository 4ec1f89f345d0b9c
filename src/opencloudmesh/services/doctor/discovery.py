"""The steps discovery, legacy and clock: what a host answers where its discovery document is looked for.

Sections "OCM API Discovery" and "OCM API Discovery: Process". Rules kept here: what this server would do with an answer is told
by the very functions that it uses; each address of the document is asked for once.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

from opencloudmesh.protocol.discovery import Discovery, parse_discovery, well_known_urls
from opencloudmesh.protocol.errors import PeerRefused
from opencloudmesh.services.doctor.discovery_document import odd_things
from opencloudmesh.services.doctor.findings import Finding, Outcome, Seen, fail, note, short, warn
from opencloudmesh.services.doctor.known_servers import known_by
from opencloudmesh.services.doctor.looks import FAULT_THERE, Look, in_the_way, look, unreached
from opencloudmesh.services.doctor.visit import Visit

_ACCEPT: Final = {"accept": "application/json", "cache-control": "no-cache"}
_LEGACY: Final = ("/ocm-provider/", "/ocm-provider")
SILENT: Final = "not looked at, because nobody answers"
WELL_KNOWN: Final = "/.well-known/ocm"
_CLOCK_EVEN: Final = 2.0
_CLOCK_WARN: Final = 5.0


# ---------------------------------------------------------------- discovery
async def look_at_discovery(visit: Visit) -> Seen:
    """The discovery document: how it is served, whether it can be read, everything odd in it."""
    urls = well_known_urls(visit.origin)
    tools = visit.instruments
    looks = await asyncio.gather(*(look(tools.http, tools.clock, "GET", url, headers=_ACCEPT) for url in urls))
    visit.documents = {seen.url[len(visit.origin) :]: seen for seen in looks}
    first = visit.documents[WELL_KNOWN]
    found, fault = _read(visit, first)
    findings = [fault] if fault else []
    if found is None and not visit.ours:
        found, findings = _read_legacy(visit, findings)
    facts: dict[str, Any] = {"asked": first.facts()}
    if found is None:
        return Seen(findings[0].sentence if findings else "no document", facts, tuple(findings))
    visit.discovery = found
    findings += [*odd_things(found, visit), *known_by(found)]
    return Seen(_summary(found), facts | _document_facts(found), tuple(findings))


def _read(visit: Visit, seen: Look) -> tuple[Discovery | None, Finding | None]:
    """The document in an answer; with it, or in place of it, the worst that is to be said of the answer."""
    if fault := unreached(seen, ours=visit.ours) or in_the_way(seen, ours=visit.ours):
        if seen.status == 200 and seen.is_web_page:
            fault = Finding(fault.outcome, "discovery-not-json", fault.sentence, fault.us, fault.them)
        return None, fault
    if seen.status != 200:
        sentence = f"{seen.method} {seen.url} is answered {seen.status}."
        what = "The reverse proxy must pass /.well-known/ocm on to the server, which must have Open Cloud Mesh switched on."
        what = FAULT_THERE if seen.status >= 500 and not visit.ours else what
        return None, fail(f"http-{seen.status}", sentence, **visit.advice(what))
    try:
        found = parse_discovery(seen.body)
    except PeerRefused as error:
        what = "Correct the discovery document, or what stands between the server and us."
        return None, fail(error.code, error.sentence, **visit.advice(what))
    if not found.enabled:
        what = "Switch federated sharing on, if it is meant to be."
        return found, fail("discovery-disabled", "The document says that Open Cloud Mesh is switched off.", **visit.advice(what))
    if seen.content_type != "application/json":
        sentence = f"The document is sent as {seen.content_type or 'no content type'}, not as application/json."
        return found, warn("content-type", sentence, **visit.advice("Send it as application/json: some servers insist on it."))
    return found, None


def _read_legacy(visit: Visit, findings: list[Finding]) -> tuple[Discovery | None, list[Finding]]:
    """Where the usual place has no document, our server goes on to the older one: so what was wrong is no failure."""
    for path in _LEGACY:
        found, fault = _read(visit, visit.documents[path])
        if found is not None:
            sentence = f"The document is only at {path}: {findings[0].sentence if findings else ''}"
            what = "Serve /.well-known/ocm too: newer servers look there, and some of them only there."
            softened = [warn("discovery-legacy-only", sentence, them=what)]
            return found, softened + ([fault] if fault else [])
    return None, findings


def _summary(found: Discovery) -> str:
    name = f"{short(found.provider)}, " if found.provider else ""
    words = ", ".join(sorted(short(word) for word in found.capabilities)) or "no capabilities"
    return f"{name}API {short(found.api_version) or 'unknown'}, {words}"[:200]


def _document_facts(found: Discovery) -> dict[str, Any]:
    return {
        "provider": short(found.provider),
        "api_version": short(found.api_version),
        "end_point": short(found.end_point),
        "capabilities": sorted(short(word) for word in found.capabilities)[:20],
        "criteria": sorted(short(word) for word in found.criteria)[:20],
        "resource_types": [short(kind.name) for kind in found.resource_types[:20]],
    }


# ---------------------------------------------------------------- legacy
async def look_at_legacy(visit: Visit) -> Seen:
    """The older address of the document, where Nextcloud up to 31, ownCloud 10 and Seafile look."""
    if visit.is_silent:
        return Seen(SILENT, pointless=True)
    looks = [visit.documents[path] for path in _LEGACY]
    facts = {"asked": [seen.facts() for seen in looks]}
    good = [seen for seen in looks if seen.status == 200 and isinstance(seen.json, dict)]
    if not good:
        sentence = "Nothing at /ocm-provider/: Nextcloud up to 31, ownCloud 10 and Seafile do not find this server."
        if visit.ours:
            what = "Let the reverse proxy pass /ocm-provider on like every other path."
            return Seen("not served", facts, (fail("legacy-missing", sentence, us=what),))
        return Seen("not served; only older servers look there", facts, (note("legacy-missing", sentence),))
    findings = [finding for seen in good if (finding := _difference(visit, seen)) is not None]
    return Seen("served at " + " and ".join(seen.url[len(visit.origin) :] for seen in good), facts, tuple(findings[:1]))


def _difference(visit: Visit, seen: Look) -> Finding | None:
    first = visit.documents[WELL_KNOWN].json
    if not isinstance(first, dict):
        return None
    names = [name for name in ("endPoint", "enabled", "apiVersion") if seen.json.get(name) != first.get(name)]
    if not names:
        return None
    sentence = f"The document at {seen.url[len(visit.origin) :]} differs in {', '.join(names)}."
    return warn("discovery-differs", sentence, **visit.advice("Serve the same document at both places."))


# ---------------------------------------------------------------- clock
async def look_at_clock(visit: Visit) -> Seen:
    """The other clock against ours: the Date of the answer that took the shortest time, which has no part of a second."""
    if visit.is_silent:
        return Seen(SILENT, pointless=True)
    dated = [(seen, at) for seen in visit.documents.values() if (at := _date_of(seen)) is not None]
    if not dated and all(seen.error is not None or seen.status >= 500 for seen in visit.documents.values()):
        return Seen("not known, because every answer is an error", pointless=True)
    if not dated:
        return Seen("no answer says what time it is", {}, (note("clock-unknown", "No answer has a Date header."),))
    seen, at = min(dated, key=lambda pair: pair[0].ended - pair[0].began)
    early, late = at - seen.ended, at + 1.0 - seen.began
    difference = 0.0 if early <= 0 <= late else early if early > 0 else late
    facts = {"difference_seconds": round(difference, 1), "round_trip_milliseconds": round(1000 * (seen.ended - seen.began))}
    summary = (
        "the same as ours"
        if abs(difference) < _CLOCK_EVEN
        else f"{abs(difference):.0f} s {'ahead of' if difference > 0 else 'behind'} ours"
    )
    return Seen(summary, facts, tuple(_judge_clock(visit, difference)))


def _date_of(seen: Look) -> float | None:
    headers: Mapping[str, str] = seen.headers
    try:
        at = parsedate_to_datetime(headers.get("date", ""))
        age = float(headers.get("age", "0"))  # an answer from a cache is as old as the cache says
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() + age


def _judge_clock(visit: Visit, difference: float) -> list[Finding]:
    if abs(difference) <= _CLOCK_WARN:
        return []
    limit = min(visit.instruments.skew, visit.instruments.freshness)
    way = "ahead of" if difference > 0 else "behind"
    sentence = f"The clock of {visit.host} is {abs(difference):.0f} seconds {way} ours."
    outcome = Outcome.WARN if abs(difference) <= limit else Outcome.FAIL
    if outcome is Outcome.FAIL:
        sentence += " Signatures are refused for that."
    what = "Compare the clock with a time server, and let it be set by NTP."
    return [Finding(outcome, "clock-difference", sentence, us=what, them="" if visit.ours else what)]
