"""The store of shares that our users got (section Share Creation Notification; RECV-12).

Rules: the same (user, peer, providerId, secret) is one row, whatever became of it (declined, left and revoked rows stay as
tombstones, those that the recipient never answered for some time); the protocol object is sealed (design decision 7); only living
rows hold a mount name.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Integer, bindparam, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert

from opencloudmesh.adapters.database.connection import Connection, Row, Statement
from opencloudmesh.adapters.database.mount_names import free_number, numbered_name, safe_name
from opencloudmesh.adapters.database.schema import (
    deliveries,
    incoming_accepted,
    incoming_apart,
    incoming_expirable,
    incoming_living,
    incoming_shares,
    incoming_unanswered,
    incoming_withdrawn,
    word,
)
from opencloudmesh.adapters.database.sealing import SealedObject, SecretBox, incoming_protocol_context
from opencloudmesh.adapters.database.words import words_of_text, words_to_text
from opencloudmesh.protocol.errors import InvalidInput
from opencloudmesh.services.records import IncomingShare, NewIncomingShare

LONGEST_PROVIDER_ID = 1024
"""Bytes; a longer one does not fit into an index."""
_REMEMBERED = 10_000
_LastNumbers = dict[tuple[int, str, bool], int]

_TABLE = incoming_shares.c
_COLUMNS = (
    _TABLE.id,
    _TABLE.user_id,
    _TABLE.peer,
    _TABLE.provider_id,
    _TABLE.owner,
    _TABLE.sender,
    _TABLE.owner_display_name,
    _TABLE.sender_display_name,
    _TABLE.recipient,
    _TABLE.share_type,
    _TABLE.resource_type,
    _TABLE.name,
    _TABLE.description,
    _TABLE.mount_name,
    _TABLE.permissions,
    _TABLE.sealed_protocol,
    _TABLE.expires_at,
    _TABLE.state,
    _TABLE.reason,
    _TABLE.unavailable_since,
    _TABLE.created_at,
    _TABLE.changed_at,
    _TABLE.quarantined,
    _TABLE.refusals,
    _TABLE.refused_since,
    _TABLE.secret_hash,
    _TABLE.unavailable_reason,
    _TABLE.refused_at,
    _TABLE.seen_size,
    _TABLE.seen_modified_at,
    _TABLE.seen_etag,
    _TABLE.signed,
)
_SELECT = select(*_COLUMNS)
_MOST = bindparam("most", type_=Integer)
_NOT_AT_FIRST = frozenset(
    {
        "id",
        "unavailable_since",
        "refusals",
        "unavailable_reason",
        "refused_at",
        "refused_since",
        "seen_size",
        "seen_modified_at",
        "seen_etag",
        "accepted_at",
    }
)
_ADD = Statement(
    insert(incoming_shares).on_conflict_do_nothing().returning(_TABLE.id),
    columns=[column.name for column in _TABLE if column.name not in _NOT_AT_FIRST],
)
_SAME = Statement(
    _SELECT.where(
        _TABLE.peer == bindparam("peer"),
        _TABLE.provider_id == bindparam("provider_id"),
        _TABLE.user_id == bindparam("user_id"),
        _TABLE.secret_hash == bindparam("secret_hash"),
    )
)
_BY_ID = Statement(_SELECT.where(_TABLE.id == bindparam("which")))
_BY_PROVIDER_ID = Statement(
    _SELECT.where(_TABLE.peer == bindparam("peer"), _TABLE.provider_id == bindparam("provider_id")).order_by(_TABLE.id)
)
_OF_MOUNT = (_TABLE.user_id == bindparam("user_id"), _TABLE.mount_name == bindparam("mount_name"), incoming_living)
_BY_MOUNT_NAME = Statement(_SELECT.where(*_OF_MOUNT))
_MOUNT_TAKEN = Statement(select(_TABLE.id).where(*_OF_MOUNT))
_PAGE_OF_USER = _SELECT.where(_TABLE.user_id == bindparam("user_id"), _TABLE.id > bindparam("after")).order_by(_TABLE.id)
_OF_USER = {
    quarantined: Statement(_PAGE_OF_USER.where(_TABLE.quarantined.is_(quarantined)).limit(_MOST)) for quarantined in (False, True)
}
_PENDING = (_TABLE.user_id == bindparam("user_id"), _TABLE.state == word("pending"))
_UNANSWERED = select(_TABLE.user_id).where(incoming_unanswered)
_NUMBER_UNANSWERED = Statement(select(func.count()).select_from(_UNANSWERED.limit(_MOST).subquery()))
_NUMBER_UNANSWERED_OF_USER = Statement(
    select(func.count()).select_from(_UNANSWERED.where(_TABLE.user_id == bindparam("user_id")).limit(_MOST).subquery())
)
_NUMBER_QUARANTINED = Statement(select(func.count()).where(*_PENDING, incoming_apart))
_RELEASE = Statement(
    update(incoming_shares).where(
        _TABLE.user_id == bindparam("which_user"), _TABLE.sender == bindparam("which_sender"), incoming_apart
    ),
    columns=["quarantined"],
)
_ACCEPTED = Statement(
    _SELECT.where(_TABLE.user_id == bindparam("user_id"), incoming_accepted).order_by(_TABLE.mount_name, _TABLE.id)
)
_LIVING_FROM = Statement(
    _SELECT.where(_TABLE.user_id == bindparam("user_id"), _TABLE.sender == bindparam("sender"), incoming_living).order_by(
        _TABLE.id
    )
)
_ENDED_SINCE = Statement(
    select(func.count())
    .select_from(incoming_shares)
    .where(
        _TABLE.user_id == bindparam("user_id"),
        _TABLE.sender == bindparam("sender"),
        _TABLE.state == word("revoked"),
        _TABLE.reason == bindparam("why"),
        _TABLE.changed_at >= bindparam("since"),
    )
)
_PEERS_OF_ACCEPTED = Statement(select(_TABLE.peer).where(incoming_accepted).distinct().order_by(_TABLE.peer))
_ACCEPTED_OF_PEER = Statement(
    _SELECT.where(_TABLE.peer == bindparam("peer"), incoming_accepted, _TABLE.id > bindparam("after"))
    .order_by(_TABLE.id)
    .limit(_MOST)
)
_PEERS_OF = Statement(select(_TABLE.peer).where(_TABLE.provider_id == bindparam("provider_id")).distinct().limit(_MOST))
_LAST = Statement(_SELECT.order_by(_TABLE.id.desc()).limit(_MOST))
_UPDATE = update(incoming_shares).where(_TABLE.id == bindparam("which"))
_SET_STATE = Statement(_UPDATE, columns=["state", "reason", "changed_at"])
_OFFER_AGAIN = Statement(_UPDATE, columns=["state", "reason", "changed_at", "mount_name", "quarantined"])
_SET_ACCEPTED_AT = Statement(_UPDATE.where(_TABLE.accepted_at.is_(None)), columns=["accepted_at"])
_SET_UNAVAILABLE_SINCE = Statement(_UPDATE, columns=["unavailable_since"])
_EXPIRE = Statement(
    update(incoming_shares)
    .where(
        _TABLE.id.in_(
            select(_TABLE.id)
            .where(incoming_expirable, _TABLE.expires_at <= bindparam("now"))
            .order_by(_TABLE.expires_at)
            .limit(_MOST)
        )
    )
    .values(state=word("expired"), reason=word("share-expired")),
    columns=["changed_at"],
)
_REMOVE_WITHDRAWN = Statement(
    delete(incoming_shares).where(
        _TABLE.id.in_(
            select(_TABLE.id)
            .where(
                incoming_withdrawn,
                _TABLE.changed_at < bindparam("before"),
                ~exists().where(deliveries.c.incoming_share_id == _TABLE.id),
            )
            .order_by(_TABLE.changed_at)
            .limit(_MOST)
        )
    )
)


class _MountNames:
    """The numbered forms of a share's name among those of its user."""

    def __init__(self, connection: Connection, user_id: int, name: str, *, is_file: bool) -> None:
        self._connection = connection
        self._user_id = user_id
        self._name = safe_name(name)
        self._is_file = is_file
        self._key = (user_id, self._name, is_file)

    def name(self, number: int) -> str:
        return numbered_name(self._name, number, is_file=self._is_file)

    def taken(self, number: int) -> bool:
        return self._connection.row(_MOUNT_TAKEN, user_id=self._user_id, mount_name=self.name(number)) is not None

    def first_guess(self, last_numbers: _LastNumbers) -> int:
        """1, or where that is known to have been taken, and still is, the number after the last one given."""
        last = last_numbers.get(self._key)
        return 1 if last is None or not self.taken(1) else last + 1

    def remember(self, number: int, last_numbers: _LastNumbers) -> None:
        if number > 1:
            if len(last_numbers) >= _REMEMBERED:
                last_numbers.clear()
            last_numbers[self._key] = number


class IncomingShares:
    """Implements `ports.IncomingShareStore`."""

    def __init__(self, connection: Connection, box: SecretBox) -> None:
        self._connection = connection
        self._box = box
        self._last_numbers: _LastNumbers = {}  # where to begin looking; never relied on

    def _share(self, row: Row) -> IncomingShare:
        protocol = SealedObject(self._box, row[15], incoming_protocol_context(row[2], row[3], row[25]))
        return IncomingShare(
            *(*row[:14], words_of_text(row[14]), protocol, *row[16:22], bool(row[22]), *row[23:25], *row[26:31], bool(row[31]))
        )

    def add(self, share: NewIncomingShare) -> tuple[IncomingShare, bool]:
        """Insert, or return the row that is there already for (user, peer, provider_id, secret); the flag says "new".

        Raises `InvalidInput` (code provider-id-too-long).
        """
        if len(share.provider_id) * 4 > LONGEST_PROVIDER_ID < len(share.provider_id.encode()):
            raise InvalidInput("The providerId is too long.", code="provider-id-too-long")
        values = self._values(share)
        names = _MountNames(self._connection, share.user_id, share.name, is_file=share.resource_type == "file")
        number = names.first_guess(self._last_numbers)
        while True:
            mount_name = names.name(number)
            row = self._connection.row(_ADD, **values, mount_name=mount_name)
            if row:
                names.remember(number, self._last_numbers)
                return self._added(share, row[0], mount_name), True
            if same := self._same(share, values["secret_hash"]):
                return same, False
            number = free_number(names.taken, number)

    def _values(self, share: NewIncomingShare) -> dict[str, Any]:
        secret_hash = self._box.keyed_hash(share.secret)
        context = incoming_protocol_context(share.peer, share.provider_id, secret_hash)
        return {
            "user_id": share.user_id,
            "peer": share.peer,
            "provider_id": share.provider_id,
            "owner": share.owner,
            "sender": share.sender,
            "owner_display_name": share.owner_display_name,
            "sender_display_name": share.sender_display_name,
            "recipient": share.recipient,
            "share_type": share.share_type,
            "resource_type": share.resource_type,
            "name": share.name,
            "description": share.description,
            "permissions": words_to_text(share.permissions),
            "sealed_protocol": self._box.seal(json.dumps(share.protocol, default=dict).encode(), context),
            "secret_hash": secret_hash,
            "expires_at": share.expires_at,
            "state": "pending",
            "reason": "",
            "created_at": share.created_at,
            "changed_at": share.created_at,
            "quarantined": share.quarantined,
            "signed": share.signed,
        }

    @staticmethod
    def _added(share: NewIncomingShare, share_id: int, mount_name: str) -> IncomingShare:
        return IncomingShare(
            share_id,
            share.user_id,
            share.peer,
            share.provider_id,
            share.owner,
            share.sender,
            share.owner_display_name,
            share.sender_display_name,
            share.recipient,
            share.share_type,
            share.resource_type,
            share.name,
            share.description,
            mount_name,
            share.permissions,
            share.protocol,
            share.expires_at,
            "pending",
            "",
            None,
            share.created_at,
            share.created_at,
            share.quarantined,
            signed=share.signed,
        )

    def _same(self, share: NewIncomingShare, secret_hash: bytes) -> IncomingShare | None:
        row = self._connection.row(
            _SAME, peer=share.peer, provider_id=share.provider_id, user_id=share.user_id, secret_hash=secret_hash
        )
        return self._share(row) if row else None

    def by_id(self, share_id: int) -> IncomingShare | None:
        """The share with this id."""
        row = self._connection.row(_BY_ID, which=share_id)
        return self._share(row) if row else None

    def by_provider_id(self, peer: str, provider_id: str) -> Sequence[IncomingShare]:
        """All shares of the peer with this providerId: some servers use one for all recipients."""
        rows = self._connection.rows(_BY_PROVIDER_ID, peer=peer, provider_id=provider_id)
        return [self._share(row) for row in rows]

    def by_mount_name(self, user_id: int, mount_name: str) -> IncomingShare | None:
        """The living share of this name under the user's "Shared with me"."""
        row = self._connection.row(_BY_MOUNT_NAME, user_id=user_id, mount_name=mount_name)
        return self._share(row) if row else None

    def of_user(
        self, user_id: int, *, after_id: int = 0, limit: int = 1000, quarantined: bool = False
    ) -> Sequence[IncomingShare]:
        """Ascending ids greater than `after_id`, tombstones included: those that were announced, or those in quarantine."""
        rows = self._connection.rows(_OF_USER[quarantined], user_id=user_id, after=after_id, most=limit)
        return [self._share(row) for row in rows]

    def unanswered(self, user_id: int | None = None, *, most: int) -> int:
        """How many shares a user, or everybody, never answered, those that have ended too; counted up to `most`."""
        if user_id is None:
            row = self._connection.row(_NUMBER_UNANSWERED, most=most)
        else:
            row = self._connection.row(_NUMBER_UNANSWERED_OF_USER, user_id=user_id, most=most)
        return row[0] if row else 0

    def quarantined_of(self, user_id: int) -> int:
        """How many of them are in quarantine."""
        row = self._connection.row(_NUMBER_QUARANTINED, user_id=user_id)
        return row[0] if row else 0

    def release(self, user_id: int, sender: str) -> None:
        """Let all shares of this sender out of quarantine."""
        self._connection.change(_RELEASE, which_user=user_id, which_sender=sender, quarantined=False)

    def living_from(self, user_id: int, sender: str) -> Sequence[IncomingShare]:
        """The shares of this sender that the user has, or may accept."""
        return [self._share(row) for row in self._connection.rows(_LIVING_FROM, user_id=user_id, sender=sender)]

    def ended_since(self, user_id: int, sender: str, reason: str, since: float) -> int:
        """How many shares of this sender (OCM Address) the sender took back since, with this reason."""
        row = self._connection.row(_ENDED_SINCE, user_id=user_id, sender=sender, why=reason, since=since)
        return int(row[0]) if row else 0

    def accepted(self, user_id: int) -> Sequence[IncomingShare]:
        """All that the user has accepted and not lost since, by mount name."""
        return [self._share(row) for row in self._connection.rows(_ACCEPTED, user_id=user_id)]

    def peers_of(self, provider_id: str, *, limit: int) -> Sequence[str]:
        """The peers, at most so many, that gave one of our users a share with this providerId."""
        return [row[0] for row in self._connection.rows(_PEERS_OF, provider_id=provider_id, most=limit)]

    def peers_of_accepted(self) -> Sequence[str]:
        """The peers of all accepted shares."""
        return [row[0] for row in self._connection.rows(_PEERS_OF_ACCEPTED)]

    def accepted_of_peer(self, peer: str, *, after_id: int = 0, limit: int = 100) -> Sequence[IncomingShare]:
        """Accepted shares of a peer, of all users: ascending ids greater than `after_id`."""
        rows = self._connection.rows(_ACCEPTED_OF_PEER, peer=peer, after=after_id, most=limit)
        return [self._share(row) for row in rows]

    def last(self, limit: int) -> Sequence[IncomingShare]:
        """The shares that came last."""
        return [self._share(row) for row in self._connection.rows(_LAST, most=limit)]

    def set_state(self, share_id: int, state: str, reason: str, at: float) -> None:
        """Change the state; which changes are allowed is the lifecycle's business."""
        self._connection.change(_SET_STATE, which=share_id, state=state, reason=reason, changed_at=at)
        if state == "accepted":
            self._connection.change(_SET_ACCEPTED_AT, which=share_id, accepted_at=at)

    def offer_again(self, share: IncomingShare, state: str, *, quarantined: bool, at: float) -> IncomingShare:
        """Let a share that has ended live again, under another name where its own was given to another one meanwhile."""
        names = _MountNames(self._connection, share.user_id, share.name, is_file=share.resource_type == "file")
        mount_name = share.mount_name
        if self.by_mount_name(share.user_id, mount_name) is not None:
            mount_name = names.name(free_number(names.taken, 1) if names.taken(1) else 1)
        again = replace(share, state=state, reason="", changed_at=at, mount_name=mount_name, quarantined=quarantined)
        self._connection.change(
            _OFFER_AGAIN,
            which=share.id,
            state=again.state,
            reason=again.reason,
            changed_at=again.changed_at,
            mount_name=again.mount_name,
            quarantined=again.quarantined,
        )
        return again

    def set_unavailable_since(self, share_id: int, at: float | None) -> None:
        """Note since when the share cannot be reached, or that it can (None)."""
        self._connection.change(_SET_UNAVAILABLE_SINCE, which=share_id, unavailable_since=at)

    def expire(self, now: float, limit: int) -> int:
        """Mark up to `limit` living shares past their expiration as expired; returns how many."""
        return self._connection.change(_EXPIRE, now=now, changed_at=now, most=limit)

    def remove_withdrawn(self, before: float, limit: int) -> int:
        """Forget up to `limit` shares that ended before that, and that their recipients never answered; returns how many."""
        return self._connection.change(_REMOVE_WITHDRAWN, before=before, most=limit)
