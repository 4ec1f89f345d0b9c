"""The store of shares that our users gave; their shared secrets are sealed (design decision 7)."""

from collections.abc import Sequence

from sqlalchemy import Integer, bindparam, insert, or_, select, update

from opencloudmesh.adapters.database.connection import Connection, Row, Statement
from opencloudmesh.adapters.database.schema import outgoing_expirable, outgoing_shares, word
from opencloudmesh.adapters.database.sealing import SealedSecret, SecretBox, outgoing_secret_context
from opencloudmesh.adapters.database.words import words_of_text, words_to_text
from opencloudmesh.protocol.lifecycle import GIVES_ACCESS
from opencloudmesh.services.records import NewOutgoingShare, OutgoingShare

_TABLE = outgoing_shares.c
_COLUMNS = (
    _TABLE.id,
    _TABLE.provider_id,
    _TABLE.user_id,
    _TABLE.owner,
    _TABLE.sender_display_name,
    _TABLE.path,
    _TABLE.name,
    _TABLE.resource_type,
    _TABLE.share_with,
    _TABLE.peer,
    _TABLE.permissions,
    _TABLE.requirements,
    _TABLE.sealed_secret,
    _TABLE.expires_at,
    _TABLE.state,
    _TABLE.reason,
    _TABLE.created_at,
    _TABLE.changed_at,
)
_SELECT = select(*_COLUMNS)
_MOST = bindparam("most", type_=Integer)
_ADD = Statement(
    insert(outgoing_shares).returning(_TABLE.id),
    columns=[column.name for column in _TABLE if column.name not in ("id", "requirements")],
)
_BY_ID = Statement(_SELECT.where(_TABLE.id == bindparam("which")))
_BY_PROVIDER_ID = Statement(_SELECT.where(_TABLE.provider_id == bindparam("provider_id")))
_BY_SECRET = Statement(_SELECT.where(_TABLE.secret_hash == bindparam("secret_hash")))
_OF_USER = Statement(
    _SELECT.where(_TABLE.user_id == bindparam("user_id"), _TABLE.id > bindparam("after")).order_by(_TABLE.id).limit(_MOST)
)
_GIVES_TO = Statement(
    select(_TABLE.id)
    .where(
        _TABLE.user_id == bindparam("user_id"),
        _TABLE.share_with == bindparam("share_with"),
        _TABLE.state.in_([word(state) for state in sorted(GIVES_ACCESS)]),
        ~_TABLE.of_visitor,
    )
    .limit(1)
)
_LIVING_WITH = Statement(
    _SELECT.where(
        _TABLE.user_id == bindparam("user_id"),
        _TABLE.share_with == bindparam("share_with"),
        _TABLE.state.not_in([word("revoked"), word("expired")]),
    ).order_by(_TABLE.id)
)
_LIVING = Statement(
    _SELECT.where(
        _TABLE.user_id == bindparam("user_id"),
        _TABLE.share_with == bindparam("share_with"),
        _TABLE.path == bindparam("path"),
        _TABLE.state.in_([word("pending"), word("sent"), word("accepted")]),
        or_(_TABLE.expires_at.is_(None), _TABLE.expires_at > bindparam("now")),
    ).order_by(_TABLE.id)
)
_IS_GIVEN = Statement(
    select(_TABLE.id)
    .where(
        _TABLE.user_id == bindparam("user_id"),
        _TABLE.share_with == bindparam("share_with"),
        _TABLE.path == bindparam("path"),
        _TABLE.state.in_([word("pending"), word("sent"), word("accepted")]),
        or_(_TABLE.expires_at.is_(None), _TABLE.expires_at > bindparam("now")),
    )
    .limit(1)
)
_LAST = Statement(_SELECT.order_by(_TABLE.id.desc()).limit(_MOST))
_UPDATE = update(outgoing_shares).where(_TABLE.id == bindparam("which"))
_SET_CHOSEN = Statement(_UPDATE.where(_TABLE.of_visitor).values(of_visitor=False))
_SET_STATE = Statement(_UPDATE, columns=["state", "reason", "changed_at"])
_SET_REQUIREMENTS = Statement(_UPDATE, columns=["requirements"])
_EXPIRE = Statement(
    update(outgoing_shares)
    .where(
        _TABLE.id.in_(
            select(_TABLE.id)
            .where(outgoing_expirable, _TABLE.expires_at <= bindparam("now"))
            .order_by(_TABLE.expires_at)
            .limit(_MOST)
        )
    )
    .values(state=word("expired"), reason=word("share-expired")),
    columns=["changed_at"],
)


class OutgoingShares:
    """Implements `ports.OutgoingShareStore`."""

    def __init__(self, connection: Connection, box: SecretBox) -> None:
        self._connection = connection
        self._box = box

    def _share(self, row: Row) -> OutgoingShare:
        secret = SealedSecret(self._box, row[12], outgoing_secret_context(row[1]))
        permissions, requirements = words_of_text(row[10]), None if row[11] is None else words_of_text(row[11])
        return OutgoingShare(*(*row[:10], permissions, requirements, secret, *row[13:]))

    def add(self, share: NewOutgoingShare) -> OutgoingShare:
        """Insert (state pending)."""
        secret = share.secret.reveal()
        row = self._connection.row(
            _ADD,
            provider_id=share.provider_id,
            user_id=share.user_id,
            owner=share.owner,
            sender_display_name=share.sender_display_name,
            path=share.path,
            name=share.name,
            resource_type=share.resource_type,
            share_with=share.share_with,
            peer=share.peer,
            permissions=words_to_text(share.permissions),
            sealed_secret=self._box.seal(secret.encode(), outgoing_secret_context(share.provider_id)),
            secret_hash=self._box.keyed_hash(secret),
            expires_at=share.expires_at,
            state="pending",
            reason="",
            created_at=share.created_at,
            changed_at=share.created_at,
            of_visitor=share.of_visitor,
        )
        assert row is not None  # noqa: S101  RETURNING of an INSERT that did not raise
        return OutgoingShare(
            id=row[0],
            provider_id=share.provider_id,
            user_id=share.user_id,
            owner=share.owner,
            sender_display_name=share.sender_display_name,
            path=share.path,
            name=share.name,
            resource_type=share.resource_type,
            share_with=share.share_with,
            peer=share.peer,
            permissions=share.permissions,
            requirements=None,
            secret=share.secret,
            expires_at=share.expires_at,
            state="pending",
            reason="",
            created_at=share.created_at,
            changed_at=share.created_at,
        )

    def by_id(self, share_id: int) -> OutgoingShare | None:
        """The share with this id."""
        row = self._connection.row(_BY_ID, which=share_id)
        return self._share(row) if row else None

    def by_provider_id(self, provider_id: str) -> OutgoingShare | None:
        """The share with this providerId, which we gave it."""
        row = self._connection.row(_BY_PROVIDER_ID, provider_id=provider_id)
        return self._share(row) if row else None

    def by_secret(self, secret: str) -> OutgoingShare | None:
        """The share with this shared secret (found by keyed hash)."""
        row = self._connection.row(_BY_SECRET, secret_hash=self._box.keyed_hash(secret))
        return self._share(row) if row else None

    def given_to(self, user_id: int, share_with: str) -> Sequence[OutgoingShare]:
        """The user's shares with this address that have not ended."""
        rows = self._connection.rows(_LIVING_WITH, user_id=user_id, share_with=share_with)
        return [self._share(row) for row in rows]

    def living(self, user_id: int, share_with: str, path: str, now: float) -> Sequence[OutgoingShare]:
        """The user's shares of this with this address that were not answered with no, and have not ended, by id."""
        rows = self._connection.rows(_LIVING, user_id=user_id, share_with=share_with, path=path, now=now)
        return [self._share(row) for row in rows]

    def is_given(self, user_id: int, share_with: str, path: str, now: float) -> bool:
        """Whether there is one of those."""
        return self._connection.row(_IS_GIVEN, user_id=user_id, share_with=share_with, path=path, now=now) is not None

    def set_chosen(self, share_id: int) -> None:
        """The user gave it, too, that a visitor took."""
        self._connection.change(_SET_CHOSEN, which=share_id)

    def of_user(self, user_id: int, *, after_id: int = 0, limit: int = 1000) -> Sequence[OutgoingShare]:
        """Ascending ids greater than `after_id`."""
        return [self._share(row) for row in self._connection.rows(_OF_USER, user_id=user_id, after=after_id, most=limit)]

    def gives_to(self, user_id: int, share_with: str) -> bool:
        """Whether a share of the user gives this address access, one that a visitor took not counted."""
        return self._connection.row(_GIVES_TO, user_id=user_id, share_with=share_with) is not None

    def last(self, limit: int) -> Sequence[OutgoingShare]:
        """The shares that were made last."""
        return [self._share(row) for row in self._connection.rows(_LAST, most=limit)]

    def set_state(self, share_id: int, state: str, reason: str, at: float) -> None:
        """Change the state; which changes are allowed is the lifecycle's business."""
        self._connection.change(_SET_STATE, which=share_id, state=state, reason=reason, changed_at=at)

    def set_requirements(self, share_id: int, requirements: tuple[str, ...]) -> None:
        """Keep what discovery of the Receiving Server decided."""
        self._connection.change(_SET_REQUIREMENTS, which=share_id, requirements=words_to_text(requirements))

    def expire(self, now: float, limit: int) -> int:
        """Mark up to `limit` shares past their expiration as expired; returns how many."""
        return self._connection.change(_EXPIRE, now=now, changed_at=now, most=limit)
