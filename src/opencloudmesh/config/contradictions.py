"""Settings that are valid each by itself, and together do not do what somebody meant by them."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from opencloudmesh.config.origin import holds
from opencloudmesh.config.settings import Settings


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What is odd, and what to do."""

    sentence: str
    hint: str


def contradictions(settings: Settings) -> Iterator[Contradiction]:
    """All that are found."""
    yield from _listening(settings)
    yield from _trust(settings)
    yield from _profiles(settings)
    yield from _times(settings)
    yield from _limits(settings)
    yield from _routes(settings)


def _listening(settings: Settings) -> Iterator[Contradiction]:
    host = settings.listen_host
    everywhere = host in ("", "0.0.0.0", "::") or (holds(ip_address, host) and ip_address(host).is_global)  # noqa: S104
    if everywhere and settings.origin.startswith("https:"):
        yield Contradiction(
            f"The server listens without TLS at {host or 'all addresses'}, beside the proxy that its origin means.",
            "Set listen_host to 127.0.0.1, or to an address that only the proxy reaches.",
        )


def _trust(settings: Settings) -> Iterator[Contradiction]:
    trust = settings.trust
    if both := sorted(set(trust.allowlist) & set(trust.denylist)):
        yield Contradiction(
            f"trust.allowlist and trust.denylist both name {', '.join(both)}: it is denied.", "Take it out of one."
        )
    if trust.mode == "allowlist" and not trust.allowlist:
        yield Contradiction(
            "trust.mode is allowlist and trust.allowlist is empty: only servers allowed by hand are dealt with.",
            "Nothing, if that is meant: ocm peer allow HOST.",
        )
    if not settings.signatures.required and trust.mode != "open":
        yield Contradiction(
            f"trust.mode is {trust.mode}, and signatures.required is false: who sends is not proved.",
            "Set signatures.required to true.",
        )


def _profiles(settings: Settings) -> Iterator[Contradiction]:
    signatures = settings.signatures
    if set(signatures.profiles) == {"draft-cavage"}:
        yield Contradiction(
            "signatures.profiles names draft-cavage alone: nobody who signs by RFC 9421, as we announce (http-sig), is taken.",
            "Name draft-05 and draft-07 too.",
        )
    if signatures.cavage_key and "draft-cavage" not in signatures.profiles:
        yield Contradiction(
            "signatures.cavage_key publishes a key for servers that know only draft-cavage, and signatures.profiles takes none "
            "of their messages: they can be sent shares, and cannot answer.",
            "Name draft-cavage in signatures.profiles, or set cavage_key to false.",
        )


def _times(settings: Settings) -> Iterator[Contradiction]:
    delivery, signatures = settings.delivery, settings.signatures
    if delivery.retry_first > delivery.retry_max:
        yield Contradiction("delivery.retry_first is longer than delivery.retry_max.", "Make retry_max the longer one.")
    if delivery.time_to_live < delivery.retry_first:
        yield Contradiction(
            "delivery.time_to_live is shorter than delivery.retry_first: nothing is tried twice.", "Make time_to_live longer."
        )
    if settings.availability.probe_first > settings.availability.probe_max:
        yield Contradiction("availability.probe_first is longer than availability.probe_max.", "Make probe_max the longer one.")
    if signatures.freshness_seconds < 30:
        yield Contradiction(
            f"signatures.freshness_seconds is {signatures.freshness_seconds:g}: requests that take a while are refused.",
            "The draft's 300 is a good value.",
        )


def _limits(settings: Settings) -> Iterator[Contradiction]:
    limits = settings.limits
    if limits.at_once_per_peer > limits.at_once_per_address:
        yield Contradiction(
            "limits.at_once_per_peer is above limits.at_once_per_address, which is reached first.",
            "Make the second the larger one.",
        )
    if limits.message_bytes < 16384:
        yield Contradiction(
            f"limits.message_bytes is {limits.message_bytes}: shares with long names or many protocols are refused.",
            "65536 is enough for every share.",
        )


def _routes(settings: Settings) -> Iterator[Contradiction]:
    for route in settings.routes:
        wide = [text for text in route.networks if ip_network(text).prefixlen == 0]
        if wide:
            yield Contradiction(
                f"The route policy {route.name} admits all addresses: whoever sets the DNS of its hosts reaches your network.",
                "Name the networks that are really meant.",
            )
        if route.plain_http and settings.origin.startswith("https:"):
            yield Contradiction(
                f"The route policy {route.name} allows http without TLS to {', '.join(route.hosts)}.",
                "Use plain_http for tests only.",
            )
