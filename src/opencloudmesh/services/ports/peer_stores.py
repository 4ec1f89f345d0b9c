"""Stores of what is known about other servers: decisions, keys, acts, directories, exchanges."""

from collections.abc import Sequence
from typing import Protocol

from opencloudmesh.services.records import (
    AuditEntry,
    DirectoryMark,
    DirectoryRecord,
    Exchange,
    ExchangeFilter,
    PeerCounts,
    PeerKey,
    PeerRecord,
    TrustRow,
)


class PeerStore(Protocol):
    def get(self, host: str) -> PeerRecord | None: ...
    def all(self) -> Sequence[PeerRecord]: ...
    def set_discovery(self, host: str, document: str, at: float) -> None: ...
    def set_key_set(self, host: str, document: str, at: float) -> None: ...
    def set_contact(self, host: str, at: float) -> None:
        """The peer answered or called: last_contact, failing_since cleared."""

    def set_failing(self, host: str, at: float, reason: str) -> None:
        """The peer failed: failing_since is kept if set already."""

    def page(self, *, after: str = "", limit: int = 1000) -> Sequence[PeerRecord]:
        """Peers whose host comes after `after`, by host, without patterns."""

    def hosts(self) -> Sequence[str]: ...
    def trusted(self) -> Sequence[TrustRow]:
        """All hosts and patterns with a decision, a pin, or signature profiles of their own."""

    def set_decision(self, host: str, decision: str, reason: str, at: float | None) -> None:
        """Keep what was decided about a host or pattern; empty for no decision."""

    def set_pinned(self, host: str, pinned: bool) -> None: ...
    def set_profiles(self, host: str, profiles: Sequence[str]) -> None:
        """Keep which kinds of signatures are taken from a host; none: those of the configuration."""

    def set_alert(self, host: str, alert: str) -> None: ...
    def remove(self, host: str) -> None: ...
    def number(self) -> int: ...
    def remove_strangers(self, kept: int, limit: int) -> Sequence[str]:
        """Forget up to `limit` hosts without decision, pin, profiles, share, but for the `kept` heard of last; returns which."""


class PeerKeyStore(Protocol):
    def of(self, host: str) -> Sequence[PeerKey]:
        """All keys of a host, those first seen first."""

    def saw(self, key: PeerKey) -> None:
        """The host publishes this key: insert it, or note when it was last seen."""

    def set_gone(self, key: PeerKey, at: float) -> None: ...
    def pin(self, host: str, thumbprints: Sequence[str]) -> None:
        """Pin these keys of a host, and no others."""

    def forget_old(self, host: str, kept: int) -> None:
        """Forget keys that are gone and not pinned, but for the `kept` that went last."""

    def remove(self, host: str) -> None: ...


class PeerCountStore(Protocol):
    def of(self, host: str) -> PeerCounts: ...


class AuditStore(Protocol):
    def add(self, entry: AuditEntry) -> None: ...
    def find(
        self, *, subject: str | None = None, since: float = 0.0, before_id: int | None = None, limit: int = 1000
    ) -> Sequence[AuditEntry]:
        """The newest acts, newest first."""

    def remove_beyond(self, actor: str, kept: int, limit: int) -> int:
        """Forget up to `limit` acts of this actor, but for the newest `kept`; returns how many."""


class RuntimeSettingStore(Protocol):
    def get(self, name: str) -> str | None:
        """The value, or None where it was never changed at run time."""

    def set(self, name: str, value: str, at: float) -> None: ...
    def remove(self, name: str) -> None: ...


class SeenSignatureStore(Protocol):
    def add(self, digest: bytes, created: int) -> bool:
        """Note a signature; False where it is there already."""

    def remove_before(self, created: float, limit: int) -> int:
        """Forget up to `limit` of those created before that; returns how many."""


class DirectoryStore(Protocol):
    def get(self, url: str) -> DirectoryRecord | None: ...
    def marks(self) -> Sequence[DirectoryMark]:
        """What is known of all directories, without their documents."""

    def set(self, url: str, *, document: str, checked_at: float, reason: str, detail: str) -> None:
        """Note how a look ended; an empty document leaves the last good one."""


class ExchangeStore(Protocol):
    def add(self, exchanges: Sequence[Exchange]) -> None: ...
    def by_id(self, exchange_id: int) -> Exchange | None: ...
    def find(self, wanted: ExchangeFilter, *, limit: int) -> Sequence[Exchange]:
        """Newest first; with `after_id` the oldest of them, still newest first."""

    def count(self) -> int: ...
    def remove_before(self, at: float, limit: int) -> int:
        """Delete up to `limit` exchanges older than that; returns how many."""

    def remove_beyond(self, kept: int, limit: int) -> int:
        """Delete up to `limit` where there are more than `kept`: refused ones of unverified senders first, the oldest of them,
        then the oldest of the peer that has most. Returns how many."""

    def remove_beyond_bytes(self, kept: int, limit: int) -> tuple[int, int]:
        """Delete up to `limit` where there are more than `kept` bytes: refused ones of unverified senders first, then those of
        servers that we have not dealt with, beyond a tenth, then those of the peer that has most. Returns how many, and how many
        bytes there were."""
