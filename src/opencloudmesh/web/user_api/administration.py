"""Other servers, for administrators: what is known of them, what was decided, and deciding it (design decision 15)."""

from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field, WithJsonSchema

from opencloudmesh.protocol.address import parse_host
from opencloudmesh.protocol.trust import parse_subject
from opencloudmesh.services import records
from opencloudmesh.services.peers import Act, TrustBook
from opencloudmesh.services.peers.registry import Peer
from opencloudmesh.services.peers.trust import TrustEntry
from opencloudmesh.web.user_api.access import BODY, Administrator, Services, errors
from opencloudmesh.web.user_api.values import (
    DECIMAL,
    DOMAIN_PATTERN,
    HOST_PATTERN,
    LATEST,
    MAX_ID,
    MAX_PAGE,
    HostText,
    Limit,
    Taken,
    Time,
    text,
)

router = APIRouter(prefix="/admin", tags=["administration"])

_READ = errors(400, 401, 403)
_ONE = errors(400, 401, 403, 404)
_ACT = errors(*BODY, 403, 404, 409)

Host = Annotated[HostText, Path(description="The server's host[:port].", examples=["cloud.example.org"])]
SubjectText = Annotated[
    str,
    text(1, 254),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 253, "pattern": rf"^(\.{DOMAIN_PATTERN}|{HOST_PATTERN})$"}),
]
Subject = Annotated[SubjectText, Path(description="A server's host[:port], or .example.org for all below.")]
Reason = Annotated[str, text(0, 500), Field(description="Why; kept in the audit log.", examples=["a partner"])]
Mode = Literal["open", "invite-only", "allowlist", "federation", "configuration"]
ProfileName = Literal["draft-05", "draft-07", "draft-cavage"]
Quarantine = Literal["on", "off", "configuration"]


# ---------------------------------------------------------------- taken
class Decision(Taken):
    """Why something is decided."""

    reason: Reason = ""


class Forgetting(Decision):
    """`everything`: all that is known of the server, not the decision alone."""

    everything: bool = False


class Pinning(Decision):
    """`renew`: fetch the keys now, and pin them in place of those pinned before."""

    renew: bool = False


class Profiles(Decision):
    """The kinds of signatures to take from a server; an empty list: those of the configuration."""

    profiles: Annotated[list[ProfileName], Field(max_length=8)]


class NewTrust(Decision):
    """What is not given stays; with `configuration` the configuration file holds again."""

    mode: Mode | None = None
    quarantine: Quarantine | None = None


# ---------------------------------------------------------------- given
class EntryAnswer(BaseModel):
    """A decision about a server, or about all below a domain."""

    subject: str
    decision: str = Field(description="allow or deny")
    source: str = Field(description="configuration or operator")
    reason: str
    decided_at: Time | None

    @classmethod
    def of(cls, entry: TrustEntry) -> Self:
        return cls(
            subject=entry.subject,
            decision=entry.decision,
            source=entry.source,
            reason=entry.reason,
            decided_at=entry.decided_at,
        )


class TrustAnswer(BaseModel):
    """Whom this server deals with: every decision, and the mode for all others."""

    mode: str
    mode_source: str = Field(description="configuration or operator")
    quarantine: bool
    quarantine_source: str = Field(description="configuration or operator")
    warnings: list[str]
    entries: list[EntryAnswer]

    @classmethod
    def of(cls, book: TrustBook) -> Self:
        return cls(
            mode=book.mode,
            mode_source=book.mode_source,
            quarantine=book.quarantine,
            quarantine_source=book.quarantine_source,
            warnings=list(book.warnings),
            entries=[EntryAnswer.of(entry) for found in (book.denies, book.allows) for entry in found.values()],
        )


class ChangedTrustAnswer(TrustAnswer):
    """Whom this server deals with now, and how many messages go out again that were ended because it did not."""

    deliveries_again: int = 0


class PeerAnswer(BaseModel):
    """A server: the decision about it and where that comes from, and how much there is with it."""

    host: str
    allowed: bool
    trust: str = Field(description="The reason code of the decision.")
    sentence: str
    decided_by: EntryAnswer | None = Field(description="The decision behind it; null where the mode decides.")
    pinned: bool
    profiles: list[str] = Field(description="Kinds of signatures that are taken, where that was decided for this server.")
    alert: str = Field(description="What to look at, beginning with a reason code, or empty.")
    first_contact: Time | None
    last_contact: Time | None
    failing_since: Time | None
    last_reason: str
    discovered_at: Time | None
    shares_given: dict[str, int] = Field(description="By state.")
    shares_received: dict[str, int] = Field(description="By state.")
    deliveries_waiting: int
    deliveries_dead: int

    @classmethod
    def of(cls, peer: Peer) -> Self:
        return cls(**_peer_fields(peer))


def _peer_fields(peer: Peer) -> dict[str, Any]:
    record, trust = peer.record, peer.trust
    return {
        "host": record.host,
        "allowed": trust.is_allowed,
        "trust": trust.decision.reason,
        "sentence": trust.sentence,
        "decided_by": EntryAnswer.of(trust.entry) if trust.entry else None,
        "pinned": record.pinned,
        "profiles": list(record.profiles),
        "alert": record.alert,
        "first_contact": record.first_contact or None,
        "last_contact": record.last_contact or None,
        "failing_since": record.failing_since,
        "last_reason": record.last_reason,
        "discovered_at": record.discovered_at or None,
        "shares_given": dict(peer.counts.given),
        "shares_received": dict(peer.counts.received),
        "deliveries_waiting": peer.counts.waiting,
        "deliveries_dead": peer.counts.dead,
    }


class KeyAnswer(BaseModel):
    """A key that the server publishes, or published until `gone_at`; `thumbprint` as RFC 7638 makes it."""

    kid: str
    thumbprint: str
    algorithm: str
    first_seen: Time
    last_seen: Time
    gone_at: Time | None
    pinned: bool

    @classmethod
    def of(cls, key: records.PeerKey) -> Self:
        return cls(
            kid=key.kid,
            thumbprint=key.thumbprint,
            algorithm=key.algorithm,
            first_seen=key.first_seen,
            last_seen=key.last_seen,
            gone_at=key.gone_at,
            pinned=key.pinned,
        )


class PeerDetailAnswer(PeerAnswer):
    """A server with its keys and what it publishes about itself."""

    keys: list[KeyAnswer]
    discovery: dict[str, Any] | None = Field(description="Its discovery document as it came last; null where none is kept.")

    @classmethod
    def of(cls, peer: Peer) -> Self:
        keys = [KeyAnswer.of(key) for key in peer.keys]
        return cls(**_peer_fields(peer), keys=keys, discovery=None if peer.discovery is None else dict(peer.discovery))


class PeersPage(BaseModel):
    """A page of servers; `next` is the `after` of the next page."""

    items: list[PeerAnswer]
    next: str | None


class DecisionAnswer(BaseModel):
    """A decision that was made, and what it concerns: living shares, and messages."""

    host: str
    decision: str = Field(description="allow, deny, or empty where it was taken back")
    shares_given: int = 0
    shares_received: int = 0
    deliveries_waiting: int = Field(default=0, description="How many waited for a server that was denied.")
    deliveries_ended: int = Field(default=0, description="How many of those the denial ended; the others were under way.")
    deliveries_again: int = Field(default=0, description="How many that a denial had ended go out again.")


class PinAnswer(BaseModel):
    """Whether only pinned keys are taken, and which those are."""

    host: str
    pinned: bool
    keys: list[KeyAnswer]


class ProfilesAnswer(BaseModel):
    """Which kinds of signatures are taken from a server now."""

    host: str
    profiles: list[str]


class ActAnswer(BaseModel):
    """One act of an operator, of an administrator, or of the server itself."""

    id: int
    at: Time
    actor: str
    action: str
    subject: str
    before: str
    after: str
    reason: str

    @classmethod
    def of(cls, act: records.AuditEntry) -> Self:
        return cls(
            id=act.id,
            at=act.at,
            actor=act.actor,
            action=act.action,
            subject=act.subject,
            before=act.before,
            after=act.after,
            reason=act.reason,
        )


class ActsPage(BaseModel):
    """Acts, the newest first; `next` is the `before` of the next page."""

    items: list[ActAnswer]
    next: int | None


# ---------------------------------------------------------------- operations
AfterHost = Annotated[str, text(0, 254), Query(description="Only servers whose host comes after this one.")]
Before = Annotated[int | None, Field(ge=1, le=MAX_ID), DECIMAL, Query(description="Only acts with a lesser id.")]
Since = Annotated[int, Field(ge=0, le=int(LATEST)), DECIMAL, Query(description="Only acts since then, in seconds.")]
AboutPeer = Annotated[SubjectText | None, Query(description="Only acts about this server or pattern.")]


@router.get("/trust", responses=_READ, summary="Whom this server deals with")
async def trust(user: Administrator, services: Services) -> TrustAnswer:
    return TrustAnswer.of(services.registry.trust)


@router.post("/trust", responses=_ACT, summary="Change the mode or the quarantine")
async def change_trust(user: Administrator, services: Services, new: NewTrust) -> ChangedTrustAnswer:
    act, again = Act(user.name, new.reason), 0
    if new.mode is not None:
        _, again = await services.trust_decisions.set_mode(None if new.mode == "configuration" else new.mode, act)
    if new.quarantine is not None:
        await services.trust_decisions.set_quarantine(None if new.quarantine == "configuration" else new.quarantine == "on", act)
    answer = ChangedTrustAnswer.of(services.registry.trust)
    answer.deliveries_again = again
    return answer


@router.get("/peers", responses=_READ, summary="The servers that are known here")
async def peers(user: Administrator, services: Services, after: AfterHost = "", limit: Limit = MAX_PAGE) -> PeersPage:
    found = await services.registry.page(after=after, limit=limit)
    last = found[-1].record.host if len(found) >= limit else None
    return PeersPage(items=[PeerAnswer.of(peer) for peer in found], next=last)


@router.get("/peers/{host}", responses=_ONE, summary="One server with its keys")
async def peer(user: Administrator, services: Services, host: Host) -> PeerDetailAnswer:
    return PeerDetailAnswer.of(await services.registry.peer(host))


@router.post("/peers/{host}/allow", responses=_ACT, summary="Deal with a server, whatever the mode")
async def allow(user: Administrator, services: Services, host: Subject, new: Decision) -> DecisionAnswer:
    """What denies a server wins over this."""
    canonical, again = await services.trust_decisions.allow(host, Act(user.name, new.reason))
    return DecisionAnswer(host=canonical, decision="allow", deliveries_again=again)


@router.post("/peers/{host}/deny", responses=_ACT, summary="Deal no more with a server")
async def deny(user: Administrator, services: Services, host: Subject, new: Decision) -> DecisionAnswer:
    canonical, affected = await services.trust_decisions.deny(host, Act(user.name, new.reason))
    return DecisionAnswer(
        host=canonical,
        decision="deny",
        shares_given=affected.given,
        shares_received=affected.received,
        deliveries_waiting=affected.waiting,
        deliveries_ended=affected.ended,
    )


@router.post("/peers/{host}/forget", responses=_ACT, summary="Take a decision back")
async def forget(user: Administrator, services: Services, host: Subject, new: Forgetting) -> DecisionAnswer:
    act = Act(user.name, new.reason)
    canonical, again = await services.trust_decisions.forget(host, act, everything=new.everything)
    return DecisionAnswer(host=canonical, decision="", deliveries_again=again)


@router.post("/peers/{host}/pin", responses=_ACT, summary="Take only the keys that the server publishes now")
async def pin(user: Administrator, services: Services, host: Host, new: Pinning) -> PinAnswer:
    keys = await services.trust_decisions.pin(host, Act(user.name, new.reason), renew=new.renew)
    return PinAnswer(host=keys[0].host, pinned=True, keys=[KeyAnswer.of(key) for key in keys])


@router.post("/peers/{host}/unpin", responses=_ACT, summary="Take any key again that the server publishes")
async def unpin(user: Administrator, services: Services, host: Host, new: Decision) -> PinAnswer:
    return PinAnswer(host=await services.trust_decisions.unpin(host, Act(user.name, new.reason)), pinned=False, keys=[])


@router.post("/peers/{host}/profiles", responses=_ACT, summary="Take only some kinds of signatures of a server")
async def profiles(user: Administrator, services: Services, host: Host, new: Profiles) -> ProfilesAnswer:
    """This wins over the configuration, for this server."""
    taken = await services.trust_decisions.set_profiles(host, new.profiles, Act(user.name, new.reason))
    return ProfilesAnswer(host=parse_host(host), profiles=list(taken))


@router.post("/peers/{host}/acknowledge", responses=_ACT, summary="Settle the alert about a server's keys")
async def acknowledge(user: Administrator, services: Services, host: Host, new: Decision) -> PeerDetailAnswer:
    canonical = await services.trust_decisions.acknowledge(host, Act(user.name, new.reason))
    return PeerDetailAnswer.of(await services.registry.peer(canonical))


@router.get("/audit", responses=_READ, summary="What was decided, and by whom")
async def audit(
    user: Administrator,
    services: Services,
    peer: AboutPeer = None,
    since: Since = 0,
    before: Before = None,
    limit: Limit = MAX_PAGE,
) -> ActsPage:
    subject = None if peer is None else parse_subject(peer)
    found = await services.registry.audit(subject=subject, since=since, before_id=before, limit=limit)
    return ActsPage(items=[ActAnswer.of(act) for act in found], next=found[-1].id if len(found) >= limit else None)
