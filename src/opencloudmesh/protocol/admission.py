"""Whether a Share Creation Notification is taken (sections Decision to Discard, Validating the Payload).

Rules kept here: one policy per reason of the draft, each on or off by being in the list or not; the first that objects decides.
Further reasons of ours: expired on arrival, requirements that we do not understand or cannot meet, our own criterion
must-exchange-token, types that we do not take. A policy is a function of the `Arrival`, the facts that the service gathered.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opencloudmesh.protocol import registries
from opencloudmesh.protocol.errors import FieldFault, Forbidden, InvalidMessage, PeerFault, SignatureRefused, Unsupported
from opencloudmesh.protocol.share_creation import ShareCreationNotification
from opencloudmesh.protocol.share_protocols import ShareProtocols
from opencloudmesh.protocol.trust import Allowed, Denied


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """The facts about a notification. `signed` means a signature that was verified, by a key of `signer_host`.

    `trust` is what was decided about the sender's server; `signature_fault` is the error of a signature that did not verify;
    `access_refused` says that a first access to the Resource was tried and failed; `sender_known` that the recipient has dealt
    with the sender before (it is looked up where `trust` asks for it).
    """

    notification: ShareCreationNotification
    now: float
    trust: Allowed | Denied
    signed: bool = False
    signer_host: str | None = None
    signature_fault: SignatureRefused | None = None
    sender_publishes_keys: bool = False
    sender_known: bool = False
    access_refused: bool = False
    is_stored: bool = False
    """It was taken before, and this is a repeat; looked up where it matters."""


@dataclass(frozen=True, slots=True)
class Accept:
    """The share is taken."""


@dataclass(frozen=True, slots=True)
class Discard:
    """The share is not taken; `reason` is a stable reason code, `error` what the peer is answered with."""

    reason: str
    error: PeerFault


Policy = Callable[[Arrival], Discard | None]
ACCEPT: Final = Accept()


def decide(arrival: Arrival, policies: Sequence[Policy]) -> Accept | Discard:
    """Ask the policies in their order."""
    for policy in policies:
        discard = policy(arrival)
        if discard is not None:
            return discard
    return ACCEPT


def default_policies(
    *,
    require_signature: bool = True,
    must_exchange_token: bool = False,
    share_types: Iterable[str] = (registries.USER,),
    resource_types: Iterable[str] = (registries.FILE, registries.FOLDER),
    protocols: Iterable[str] = (registries.WEBDAV,),
    requirements: Iterable[str] = (registries.MUST_EXCHANGE_TOKEN,),
) -> tuple[Policy, ...]:
    """The policies of a server: who may send first, what may be sent after. `requirements` are those we can meet."""
    return (
        trusted_server,
        signature_holds,
        *((signature_required,) if require_signature else (signature_where_keys_are_published,)),
        sender_at_signer,
        owner_at_signer,
        SupportedTypes(frozenset(share_types), frozenset(resource_types)),
        UsableProtocol(frozenset(protocols)),
        RequirementsMet(frozenset(requirements)),
        *((exchange_required,) if must_exchange_token else ()),
        not_expired,
        only_known_senders,
        first_access_works,
    )


# ---------------------------------------------------------------- who sends
def trusted_server(arrival: Arrival) -> Discard | None:
    """The Sending Server is denylisted, or not allowlisted, or whatever else the trust mode asks for (`decide_trust`)."""
    trust = arrival.trust
    return _forbid(trust.reason, trust.sentence) if isinstance(trust, Denied) else None


def signature_holds(arrival: Arrival) -> Discard | None:
    """The signature is not valid, or no key to verify it was found."""
    fault = arrival.signature_fault
    return None if fault is None else Discard(fault.code, fault)


def signature_required(arrival: Arrival) -> Discard | None:
    """The signature is missing."""
    return None if arrival.signed else _unsigned("The request must be signed.")


def signature_where_keys_are_published(arrival: Arrival) -> Discard | None:
    """The signature is missing though the sender's server publishes keys."""
    if arrival.signed or not arrival.sender_publishes_keys:
        return None
    return _unsigned("Your server publishes keys: the request must be signed.")


def sender_at_signer(arrival: Arrival) -> Discard | None:
    """The key that signed is not one of the sender's server."""
    if not arrival.signed or arrival.notification.sender_address.host == arrival.signer_host:
        return None
    return _forbid("sender-not-signer", "The sender is not an account of the server that signed.")


def owner_at_signer(arrival: Arrival) -> Discard | None:
    """The owner is not an account of the server that signed."""
    if not arrival.signed or arrival.notification.owner_address.host == arrival.signer_host:
        return None
    return _forbid("owner-not-at-signer", "The owner is not an account of the server that signed.")


def only_known_senders(arrival: Arrival) -> Discard | None:
    """The Sending Party is not trusted by the Receiving Party; so is everybody by a recipient who does not exist."""
    trust = arrival.trust
    if arrival.sender_known or isinstance(trust, Denied) or not trust.only_known:
        return None
    return _forbid("sender-unknown", "The recipient takes shares from known senders only; an invite makes them known.")


# ---------------------------------------------------------------- what is sent
@dataclass(frozen=True, slots=True)
class SupportedTypes:
    """Share types and resource types that we take; others are answered 501."""

    share_types: frozenset[str]
    resource_types: frozenset[str]

    def __call__(self, arrival: Arrival) -> Discard | None:
        if arrival.notification.share_type not in self.share_types:
            return _unsupported("share-type-unsupported", "This share type is not supported.")
        if arrival.notification.resource_type not in self.resource_types:
            return _unsupported("resource-type-unsupported", "This resource type is not supported.")
        return None


@dataclass(frozen=True, slots=True)
class UsableProtocol:
    """We can act as a client of at least one of the protocols offered."""

    protocols: frozenset[str]

    def __call__(self, arrival: Arrival) -> Discard | None:
        if arrival.notification.protocol.readable & self.protocols:
            return None
        return _unsupported("protocol-unsupported", "None of the protocols offered is supported.")


@dataclass(frozen=True, slots=True)
class RequirementsMet:
    """We understand and can meet every requirement of the share (RECV-6)."""

    requirements: frozenset[str]

    def __call__(self, arrival: Arrival) -> Discard | None:
        if arrival.notification.protocol.requirements <= self.requirements:
            return None
        return _invalid("requirements-not-met", "protocol.requirements", "holds a requirement that this server cannot meet")


def exchange_required(arrival: Arrival) -> Discard | None:
    """Our criterion must-exchange-token: a protocol is offered without that requirement (RECV-8)."""
    protocol = arrival.notification.protocol
    lacking = sorted(name for name in protocol.offered if not _demands_exchange(protocol, name))
    if not lacking:
        return None
    faults = tuple(FieldFault(f"protocol.{name}.requirements", "must hold must-exchange-token") for name in lacking)
    return Discard("exchange-required", InvalidMessage(faults, code="exchange-required"))


def not_expired(arrival: Arrival) -> Discard | None:
    """The share is past its expiration on arrival; not on that of a repeat, which is answered as the first one was."""
    expiration = arrival.notification.expiration
    if expiration is None or expiration > arrival.now or arrival.is_stored:
        return None
    return _invalid("share-expired", "expiration", "is in the past")


def first_access_works(arrival: Arrival) -> Discard | None:
    """A first check showed that the Resource cannot be reached."""
    return _invalid("access-check-failed", "protocol", "gives no access to the resource") if arrival.access_refused else None


def _demands_exchange(protocol: ShareProtocols, name: str) -> bool:
    details: Any = protocol.raw.get(name)
    requirements = details.get("requirements") if isinstance(details, dict) else None
    return isinstance(requirements, list) and registries.MUST_EXCHANGE_TOKEN in requirements


def _forbid(reason: str, sentence: str) -> Discard:
    return Discard(reason, Forbidden(sentence, code=reason))


def _unsigned(sentence: str) -> Discard:
    return Discard("sig-missing", SignatureRefused(sentence, code="sig-missing"))


def _unsupported(reason: str, sentence: str) -> Discard:
    return Discard(reason, Unsupported(sentence, code=reason))


def _invalid(reason: str, field: str, fault: str) -> Discard:
    return Discard(reason, InvalidMessage((FieldFault(field, fault),), code=reason))
