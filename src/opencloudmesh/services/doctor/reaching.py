"""The steps dns, tcp and tls: all addresses of a host, each by itself.

Rules kept here: where our rules for addresses forbid a connection, none is made, and that is said; a certificate is judged as our
own requests judge it; of several addresses every one counts, for another server may meet any of them.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from opencloudmesh.protocol.errors import PeerUnreachable
from opencloudmesh.services.doctor.findings import Finding, Seen, fail, listed, short, warn
from opencloudmesh.services.doctor.network import Certificate, HostAddress, TlsLook
from opencloudmesh.services.doctor.visit import Visit

MOST_ADDRESSES: Final = 8
_DAY: Final = 86400.0
_WARN_DAYS: Final = 14


# ---------------------------------------------------------------- dns
async def look_at_dns(visit: Visit) -> Seen:
    """All addresses of the name, their families, and whether this server may go there."""
    found = list(await visit.instruments.probe.addresses(visit.origin))
    facts = {"addresses": [_address_facts(address) for address in found]}
    visit.reached = [address for address in found if address.admitted][:MOST_ADDRESSES]
    findings: list[Finding] = []
    if refused := [address.text for address in found if not address.admitted]:
        sentence = f"{visit.host} has addresses that this server does not connect to: {listed(refused)}."
        what = "Give the name its public address in DNS (A, AAAA), and remove the others."
        us = "If these addresses are meant, name host, networks and port in one route policy ([[routes]])."
        judge = warn if visit.reached else fail
        findings.append(
            judge("address-refused", sentence, us=f"{what} {us}" if visit.ours else us, them="" if visit.ours else what)
        )
    return Seen(listed(f"{a.text} ({a.family}{'' if a.is_public else ', not public'})" for a in found), facts, tuple(findings))


def _address_facts(address: HostAddress) -> dict[str, Any]:
    facts = {"address": address.text, "family": address.family, "public": address.is_public, "admitted": address.admitted}
    return facts | ({"route": address.route} if address.route else {})


# ---------------------------------------------------------------- tcp
async def look_at_tcp(visit: Visit) -> Seen:
    """A connection to each address at once."""
    ends = await asyncio.gather(*(_connect(visit, address) for address in visit.reached))
    tried = list(zip(visit.reached, ends, strict=True))
    facts = {"addresses": [_tcp_facts(address, end) for address, end in tried]}
    visit.reached = [address for address, end in tried if not isinstance(end, PeerUnreachable)]
    times = [end for end in ends if not isinstance(end, PeerUnreachable)]
    bad = [(address, end) for address, end in tried if isinstance(end, PeerUnreachable)]
    summary = f"{len(times)} of {len(tried)} addresses take connections"
    if times:
        summary += f", in {1000 * min(times):.0f} ms" + (f" to {1000 * max(times):.0f} ms" if len(times) > 1 else "")
    return Seen(summary, facts, tuple(_no_connection(visit, address, end) for address, end in bad))


async def _connect(visit: Visit, address: HostAddress) -> float | PeerUnreachable:
    try:
        return await visit.instruments.probe.connect(visit.origin, address)
    except PeerUnreachable as error:
        return error


def _tcp_facts(address: HostAddress, end: float | PeerUnreachable) -> dict[str, Any]:
    if isinstance(end, PeerUnreachable):
        return {"address": address.text, "reason": end.code}
    return {"address": address.text, "milliseconds": round(1000 * end, 1)}


_TCP_ADVICE: Final = {
    "tcp-refused": "Start the web server (or its reverse proxy), and let it listen at this address and port.",
    "tcp-timeout": "Open the port in the firewall: it drops connections, or the machine is down.",
}


def _no_connection(visit: Visit, address: HostAddress, error: PeerUnreachable) -> Finding:
    if error.code == "tcp-no-route":
        us = (
            "Nothing, if this machine has no IPv6 on purpose."
            if address.family == "IPv6"
            else "Check the network of this machine."
        )
        judge = warn if visit.reached else fail
        return judge(error.code, f"This machine has no way to {address.text} ({address.family}).", us=us)
    what = _TCP_ADVICE.get(error.code, "Check the web server and the firewall.")
    if visit.reached:
        what += " Or take this address out of DNS: whoever tries it first has to wait."
    judge = warn if visit.reached else fail
    return judge(error.code, f"{error.sentence.rstrip('.')}.", **visit.advice(what))


# ---------------------------------------------------------------- tls
async def look_at_tls(visit: Visit) -> Seen:
    """A handshake at each address; what is wrong is told once for all that share it."""
    if visit.is_plain:
        what = "Use this for tests only: without TLS everybody on the way reads shares and tokens."
        return Seen(
            "no TLS: a route policy of this server says plain http",
            {"plain_http": True},
            (warn("route-plain-http", f"{visit.host} is reached without TLS.", us=what),),
        )
    ends = await asyncio.gather(*(_handshake(visit, address) for address in visit.reached))
    tried = list(zip(visit.reached, ends, strict=True))
    now = visit.instruments.clock()
    facts = {"addresses": [{"address": address.text} | _tls_facts(end, now) for address, end in tried]}
    told: dict[tuple[str, str], Finding] = {}
    for _, end in tried:
        for finding in _judge(visit, end, now):
            told.setdefault((finding.code, finding.sentence), finding)
    visit.reached = [address for address, end in tried if isinstance(end, TlsLook) and not end.fault]
    return Seen(_tls_summary(ends, now), facts, tuple(told.values()))


async def _handshake(visit: Visit, address: HostAddress) -> TlsLook | PeerUnreachable:
    try:
        return await visit.instruments.probe.handshake(visit.origin, address)
    except PeerUnreachable as error:
        return error


def _tls_summary(ends: Sequence[TlsLook | PeerUnreachable], now: float) -> str:
    seen = [end for end in ends if isinstance(end, TlsLook)]
    if not seen:
        return "no TLS"
    first = min(seen, key=lambda end: end.certificate.ends_at)
    return f"{first.version}, certificate of {short(first.certificate.issuer)}, {_days(first.certificate, now)} days left"


def _days(certificate: Certificate, now: float) -> int:
    return int((certificate.ends_at - now) // _DAY)


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _tls_facts(end: TlsLook | PeerUnreachable, now: float) -> dict[str, Any]:
    if isinstance(end, PeerUnreachable):
        return {"reason": end.code}
    certificate = end.certificate
    facts: dict[str, Any] = {"reason": end.fault} if end.fault else {}
    return facts | {
        "version": end.version,
        "chain": end.chain,
        "subject": short(certificate.subject),
        "names": [short(name) for name in certificate.names[:20]],
        "issuer": short(certificate.issuer),
        "key": certificate.key,
        "begins": _date(certificate.begins_at),
        "ends": _date(certificate.ends_at),
        "days_left": _days(certificate, now),
    }


def _judge(visit: Visit, end: TlsLook | PeerUnreachable, now: float) -> list[Finding]:
    if isinstance(end, PeerUnreachable):
        what = "Let the web server offer TLS 1.2 or newer with common ciphers at this port, and a certificate for this name."
        return [fail(end.code, end.sentence, **visit.advice(what))]
    if end.fault:
        return [_certificate_fault(visit, end, now)]
    findings = []
    days = _days(end.certificate, now)
    if days < _WARN_DAYS:
        sentence = f"The certificate ends on {_date(end.certificate.ends_at)}, in {days} days."
        what = "Renew the certificate, and find out why that was not done by itself."
        findings.append(warn("tls-ends-soon", sentence, **visit.advice(what)))
    return findings


def _certificate_fault(visit: Visit, end: TlsLook, now: float) -> Finding:
    certificate = end.certificate
    if end.fault == "tls-name":
        sentence = f"The certificate is for {listed(certificate.names) or short(certificate.subject)}, not for {visit.host}."
        return fail("tls-name", sentence, **visit.advice("Serve a certificate for this name (SNI); or the address is wrong."))
    if end.fault == "tls-expired":
        if certificate.begins_at > now:
            sentence = f"The certificate is not valid before {_date(certificate.begins_at)}."
            return fail("tls-expired", sentence, us="Check the clock of this machine.")
        sentence = f"A certificate of the chain is out of date; the server's own ends on {_date(certificate.ends_at)}."
        if certificate.ends_at <= now:
            sentence = f"The certificate ended on {_date(certificate.ends_at)}, {-_days(certificate, now)} days ago."
        return fail("tls-expired", sentence, **visit.advice("Renew the certificate and let the web server read it again."))
    return _untrusted(visit, end)


def _untrusted(visit: Visit, end: TlsLook) -> Finding:
    authority = "If that authority may be trusted, name its certificate in a route policy (ca_file)."
    if end.certificate.self_signed:
        sentence, what = (
            "The certificate is signed by itself.",
            "Get a certificate of a public authority (Let's Encrypt is free).",
        )
    elif end.chain == 1:
        sentence = f"Only one certificate is sent, without that of its issuer ({short(end.certificate.issuer)})."
        what = "Serve the full chain (fullchain.pem): browsers find the missing part by themselves, servers do not."
    else:
        sentence = f"No authority that is trusted here signed the certificate (issuer: {short(end.certificate.issuer)})."
        what = "Serve the full chain of a public authority."
    if visit.ours:
        return fail(end.fault, sentence, us=f"{what} {authority}")
    return fail(end.fault, sentence, us=authority, them=what)
