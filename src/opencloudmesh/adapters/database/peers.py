"""The store of what we know of other servers."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Integer, bindparam, case, delete, exists, func, null, select, update
from sqlalchemy.dialects.postgresql import insert

from opencloudmesh.adapters.database.connection import Connection, Row, Statement
from opencloudmesh.adapters.database.schema import incoming_shares, outgoing_shares, peers, peers_trusted, word
from opencloudmesh.services.records import PeerRecord, TrustRow

_COLUMNS = (
    peers.c.host,
    peers.c.discovery,
    peers.c.discovered_at,
    peers.c.key_set,
    peers.c.key_set_at,
    peers.c.first_contact,
    peers.c.last_contact,
    peers.c.failing_since,
    peers.c.last_reason,
    peers.c.decision,
    peers.c.decision_reason,
    peers.c.decided_at,
    peers.c.pinned,
    peers.c.alert,
    peers.c.profiles,
)
_NAMES = [column.name for column in _COLUMNS]
_GET = Statement(select(*_COLUMNS).where(peers.c.host == bindparam("host")))
_ALL = Statement(select(*_COLUMNS).order_by(peers.c.host))
_PAGE = Statement(
    select(*_COLUMNS)
    .where(peers.c.host > bindparam("after"), peers.c.host.not_like(word(".%")))
    .order_by(peers.c.host)
    .limit(bindparam("most", type_=Integer))
)
_HOSTS = Statement(select(peers.c.host).order_by(peers.c.host))
_TRUSTED = Statement(
    select(peers.c.host, peers.c.decision, peers.c.decision_reason, peers.c.decided_at, peers.c.pinned, peers.c.profiles)
    .where(peers_trusted)
    .order_by(peers.c.host)
)
_REMOVE = Statement(delete(peers).where(peers.c.host == bindparam("which")))
_NUMBER = Statement(select(func.count()).select_from(peers))
_STRANGERS = (
    select(peers.c.host)
    .where(
        peers.c.decision == word(""),
        ~peers.c.pinned,
        peers.c.profiles == word(""),
        ~exists().where(incoming_shares.c.peer == peers.c.host),
        ~exists().where(outgoing_shares.c.peer == peers.c.host),
    )
    .order_by(peers.c.last_contact.desc(), peers.c.host)
    .offset(bindparam("kept", type_=Integer))
    .limit(bindparam("most", type_=Integer))
)
_REMOVE_STRANGERS = Statement(delete(peers).where(peers.c.host.in_(_STRANGERS)).returning(peers.c.host))
_SET_ALERT = Statement(update(peers).where(peers.c.host == bindparam("which")), columns=["alert"])
_INSERT = insert(peers)
_NEW = _INSERT.excluded


def _insert_or_set(**values: Any) -> Statement:
    return Statement(_INSERT.on_conflict_do_update(index_elements=[peers.c.host], set_=values), columns=_NAMES)


_SET_DISCOVERY = _insert_or_set(discovery=_NEW.discovery, discovered_at=_NEW.discovered_at)
_SET_KEY_SET = _insert_or_set(key_set=_NEW.key_set, key_set_at=_NEW.key_set_at)
_FIRST = case((peers.c.first_contact == 0.0, _NEW.first_contact), else_=peers.c.first_contact)
_SET_CONTACT = _insert_or_set(
    first_contact=_FIRST, last_contact=_NEW.last_contact, failing_since=null(), last_reason=_NEW.last_reason
)
_SET_DECISION = _insert_or_set(decision=_NEW.decision, decision_reason=_NEW.decision_reason, decided_at=_NEW.decided_at)
_SET_PINNED = _insert_or_set(pinned=_NEW.pinned)
_SET_PROFILES = _insert_or_set(profiles=_NEW.profiles)
_SET_FAILING = _insert_or_set(
    failing_since=func.coalesce(peers.c.failing_since, _NEW.failing_since), last_reason=_NEW.last_reason
)


class Peers:
    """Implements `ports.PeerStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, host: str) -> PeerRecord | None:
        """What is known of this host."""
        row = self._connection.row(_GET, host=host)
        return _record(row) if row else None

    def all(self) -> Sequence[PeerRecord]:
        """All known peers, by host."""
        return [_record(row) for row in self._connection.rows(_ALL)]

    def page(self, *, after: str = "", limit: int = 1000) -> Sequence[PeerRecord]:
        """Peers whose host comes after `after`, by host, without patterns."""
        return [_record(row) for row in self._connection.rows(_PAGE, after=after, most=limit)]

    def hosts(self) -> Sequence[str]:
        """All known hosts and patterns."""
        return [row[0] for row in self._connection.rows(_HOSTS)]

    def trusted(self) -> Sequence[TrustRow]:
        """All hosts and patterns with a decision, a pin, or signature profiles of their own."""
        return [TrustRow(*(*row[:4], bool(row[4]), tuple(row[5].split()))) for row in self._connection.rows(_TRUSTED)]

    def set_decision(self, host: str, decision: str, reason: str, at: float | None) -> None:
        """Keep what was decided about a host or pattern; empty for no decision."""
        self._set(_SET_DECISION, host, 0.0, decision=decision, decision_reason=reason, decided_at=at)

    def set_pinned(self, host: str, pinned: bool) -> None:
        """Whether only pinned keys are taken."""
        self._set(_SET_PINNED, host, 0.0, pinned=pinned)

    def set_profiles(self, host: str, profiles: Sequence[str]) -> None:
        """Which kinds of signatures are taken; none: those of the configuration."""
        self._set(_SET_PROFILES, host, 0.0, profiles=" ".join(profiles))

    def set_alert(self, host: str, alert: str) -> None:
        """What the operator should look at; empty for nothing."""
        self._connection.change(_SET_ALERT, which=host, alert=alert)

    def remove(self, host: str) -> None:
        """Forget this host."""
        self._connection.change(_REMOVE, which=host)

    def number(self) -> int:
        """How many hosts and patterns there are."""
        row = self._connection.row(_NUMBER)
        return int(row[0]) if row else 0

    def remove_strangers(self, kept: int, limit: int) -> Sequence[str]:
        """Forget up to `limit` hosts without decision, pin, profiles or share, but for the `kept` that were heard of last."""
        return [row[0] for row in self._connection.rows(_REMOVE_STRANGERS, kept=kept, most=limit)]

    def set_discovery(self, host: str, document: str, at: float) -> None:
        """Keep the discovery document last received."""
        self._set(_SET_DISCOVERY, host, at, discovery=document, discovered_at=at)

    def set_key_set(self, host: str, document: str, at: float) -> None:
        """Keep the JWK Set last received."""
        self._set(_SET_KEY_SET, host, at, key_set=document, key_set_at=at)

    def set_contact(self, host: str, at: float) -> None:
        """The peer answered or called: last_contact, failing_since cleared."""
        self._set(_SET_CONTACT, host, at, last_contact=at)

    def set_failing(self, host: str, at: float, reason: str) -> None:
        """The peer failed: failing_since is kept if set already."""
        self._set(_SET_FAILING, host, at, failing_since=at, last_reason=reason)

    def _set(self, statement: Statement, host: str, at: float, **values: Any) -> None:
        row: dict[str, Any] = {
            "discovery": "",
            "discovered_at": 0.0,
            "key_set": "",
            "key_set_at": 0.0,
            "first_contact": at,
            "last_contact": 0.0,
            "failing_since": None,
            "last_reason": "",
            "decision": "",
            "decision_reason": "",
            "decided_at": None,
            "pinned": False,
            "alert": "",
            "profiles": "",
        }
        self._connection.change(statement, **(row | values), host=host)


def _record(row: Row) -> PeerRecord:
    return PeerRecord(*(*row[:12], bool(row[12]), row[13], tuple(row[14].split())))
