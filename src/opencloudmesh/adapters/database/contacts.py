"""The stores of contacts, and of the identifiers by which other servers know our users."""

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Integer, Text, bindparam, delete, func, select, union, update
from sqlalchemy.dialects.postgresql import insert

from opencloudmesh.adapters.database.connection import Connection, Row, Statement
from opencloudmesh.adapters.database.schema import contact_aliases, contact_removals, contacts, identifiers, notices, word
from opencloudmesh.services.records import Contact, ContactRemoval, Notice

_TABLE = contacts.c
_FIELDS = (
    "user_id", "address", "name", "email", "source", "trusted", "verified", "own_identifier", "added_at", "last_seen_at",
)  # fmt: skip
_SELECT = select(_TABLE.id, *(_TABLE[name] for name in _FIELDS))
_OF_USER = _TABLE.user_id == bindparam("user_id")
_WHICH = _TABLE.id == bindparam("which")
_MOST = bindparam("most", type_=Integer)
_ADDRESS = _TABLE.address == bindparam("whose", type_=Text)

_ADD = Statement(insert(contacts).on_conflict_do_nothing().returning(_TABLE.id), columns=[*_FIELDS, "folded"])
_BY_ID = Statement(_SELECT.where(_WHICH))
_BY_ADDRESS = Statement(_SELECT.where(_OF_USER, _ADDRESS))
_OF = Statement(_SELECT.where(_OF_USER, _TABLE.id > bindparam("after_id")).order_by(_TABLE.id).limit(_MOST))
_ALIAS = contact_aliases.c
_SOUGHT = bindparam("sought", type_=Text)
_BY_FOUND_ALIAS = _TABLE.id.in_(
    select(_ALIAS.contact_id).where(_ALIAS.user_id == bindparam("user_id"), func.lower(_ALIAS.address).like(_SOUGHT, escape="!"))
)
_SEARCH = Statement(
    _SELECT.where(_OF_USER, _TABLE.folded.like(_SOUGHT, escape="!") | _BY_FOUND_ALIAS)
    .order_by(_TABLE.folded, _TABLE.id)
    .limit(_MOST)
    .offset(bindparam("past", type_=Integer))
)
_COUNT = Statement(select(func.count()).select_from(contacts).where(_OF_USER))
_BY_ALIAS = Statement(
    _SELECT.join(contact_aliases, _ALIAS.contact_id == _TABLE.id).where(
        _ALIAS.user_id == bindparam("user_id"), _ALIAS.address == bindparam("whose", type_=Text)
    )
)
_SELECT_ALIASES = select(_ALIAS.contact_id, _ALIAS.address, _ALIAS.verified).order_by(_ALIAS.id)
_ALIASES = Statement(_SELECT_ALIASES.where(_ALIAS.contact_id == bindparam("which")))
_ALIASES_OF = Statement(_SELECT_ALIASES.where(_ALIAS.user_id == bindparam("whose")))
_ADD_ALIAS = Statement(insert(contact_aliases).on_conflict_do_nothing(), columns=["contact_id", "user_id", "address", "verified"])
_VERIFY_ALIAS = Statement(
    update(contact_aliases).where(_ALIAS.contact_id == bindparam("which"), _ALIAS.address == bindparam("whose", type_=Text)),
    columns=["verified"],
)
_USERS_WITH = Statement(
    union(
        select(_TABLE.user_id).where(_ADDRESS),
        select(_ALIAS.user_id).where(_ALIAS.address == bindparam("whose", type_=Text)),
    )
    .order_by("user_id")
    .limit(_MOST)
)
_HAS_TOLD = Statement(
    select(_TABLE.id)
    .where(_OF_USER, _TABLE.own_identifier == bindparam("given", type_=Text))
    .where(_TABLE.address.like(bindparam("at_host", type_=Text), escape="!"))
    .limit(1)
)
_TOLD_AT = Statement(
    select(_TABLE.own_identifier)
    .where(_OF_USER, _TABLE.own_identifier != word(""))
    .where(_TABLE.address.like(bindparam("at_host", type_=Text), escape="!"))
    .order_by(_TABLE.id)
    .limit(1)
)
_VERIFIED = Statement(
    union(select(_TABLE.address).where(_TABLE.verified.is_(True)), select(_ALIAS.address).where(_ALIAS.verified.is_(True))).limit(
        _MOST
    )
)
_VERIFY = Statement(update(contacts).where(_WHICH), columns=["verified"])
_UPDATE = Statement(
    update(contacts).where(_WHICH), columns=["name", "email", "source", "trusted", "verified", "own_identifier", "folded"]
)
_SET_SEEN = Statement(update(contacts).where(_WHICH), columns=["last_seen_at"])
_REMOVE = Statement(delete(contacts).where(_WHICH))

_REMOVALS, _NOTICES = contact_removals.c, notices.c
_ADD_REMOVAL = Statement(
    insert(contact_removals).returning(*_REMOVALS), columns=[column.name for column in _REMOVALS if column.name != "id"]
)
_REMOVAL = Statement(select(*_REMOVALS).where(_REMOVALS.id == bindparam("which")))
_OLDER = select(_REMOVALS.id).where(_REMOVALS.at < bindparam("before")).order_by(_REMOVALS.at).limit(_MOST)
_REMOVE_OLDER = Statement(delete(contact_removals).where(_REMOVALS.id.in_(_OLDER)))

_ADD_NOTICE = Statement(insert(notices), columns=[column.name for column in _NOTICES if column.name != "id"])
_NOTICES_OF = select(*_NOTICES).where(_NOTICES.user_id == bindparam("whose")).order_by(_NOTICES.id.desc())
_LIST_NOTICES = Statement(_NOTICES_OF)
_KEEP_NOTICES = Statement(
    delete(notices).where(
        _NOTICES.user_id == bindparam("whose"),
        _NOTICES.id <= _NOTICES_OF.with_only_columns(_NOTICES.id).limit(1).offset(_MOST).scalar_subquery(),
    )
)
_REMOVE_NOTICE = Statement(delete(notices).where(_NOTICES.user_id == bindparam("whose"), _NOTICES.id == bindparam("which")))

_NEW_IDENTIFIER = Statement(insert(identifiers).on_conflict_do_nothing(), columns=["identifier", "user_id", "purpose"])
_IDENTIFIER_FOR = Statement(
    select(identifiers.c.identifier).where(
        identifiers.c.user_id == bindparam("user_id"), identifiers.c.purpose == bindparam("what_for", type_=Text)
    )
)
_USER_OF_IDENTIFIER = Statement(select(identifiers.c.user_id).where(identifiers.c.identifier == bindparam("given", type_=Text)))


def _contact(row: Row) -> Contact:
    return Contact(**dict(zip(("id", *_FIELDS), row, strict=True)) | {"trusted": bool(row[6]), "verified": bool(row[7])})


def _with_aliases(contact: Contact, rows: Sequence[Row]) -> Contact:
    verified = tuple(str(address) for _, address, is_verified in rows if is_verified)
    return replace(contact, aliases=tuple(str(row[1]) for row in rows), verified_aliases=verified)


def _escaped(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _folded(contact: Contact) -> str:
    return _alike(f"{contact.name}\n{contact.email}\n{contact.address}")


def _alike(text: str) -> str:
    """The same for texts that differ in case, or in how their letters are composed."""
    return unicodedata.normalize("NFC", text).casefold()


class Contacts:
    """Implements `ports.ContactStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, contact: Contact) -> Contact | None:
        """Insert; None where the user has a contact with this address."""
        row = self._connection.row(_ADD, **{name: getattr(contact, name) for name in _FIELDS}, folded=_folded(contact))
        return self.by_id(row[0]) if row else None

    def by_id(self, contact_id: int) -> Contact | None:
        """The contact with this id."""
        return self._one(self._connection.row(_BY_ID, which=contact_id))

    def by_address(self, user_id: int, address: str) -> Contact | None:
        """The user's contact with this OCM Address (canonical), or with this alias."""
        row = self._connection.row(_BY_ADDRESS, user_id=user_id, whose=address)
        return self._one(row or self._connection.row(_BY_ALIAS, user_id=user_id, whose=address))

    def _one(self, row: Row | None) -> Contact | None:
        if row is None:
            return None
        return _with_aliases(_contact(row), self._connection.rows(_ALIASES, which=row[0]))

    def of_user(self, user_id: int, *, after_id: int = 0, limit: int = 1000) -> Sequence[Contact]:
        """All of a user: ascending ids greater than `after_id`."""
        return self._all(user_id, self._connection.rows(_OF, user_id=user_id, after_id=after_id, most=limit))

    def search(self, user_id: int, text: str, *, limit: int = 20, offset: int = 0) -> Sequence[Contact]:
        """Those whose name, address or e-mail address holds the text, whatever its case, by name."""
        sought = f"%{_escaped(_alike(text))}%"
        rows = self._connection.rows(_SEARCH, user_id=user_id, sought=sought, most=limit, past=offset)
        return self._all(user_id, rows)

    def _all(self, user_id: int, rows: Sequence[Row]) -> Sequence[Contact]:
        aliases: dict[int, list[Row]] = {}
        for alias in self._connection.rows(_ALIASES_OF, whose=user_id) if rows else ():
            aliases.setdefault(alias[0], []).append(alias)
        return [_with_aliases(_contact(row), aliases.get(row[0], ())) for row in rows]

    def count_of(self, user_id: int) -> int:
        """How many a user has."""
        row = self._connection.row(_COUNT, user_id=user_id)
        return int(row[0]) if row else 0

    def verified_addresses(self, *, limit: int) -> Sequence[str]:
        """The addresses of contacts, of whomever, whose servers signed; each once."""
        return [str(row[0]) for row in self._connection.rows(_VERIFIED, most=limit)]

    def users_with(self, address: str, *, limit: int) -> Sequence[int]:
        """Users, at most so many, who have this OCM Address (canonical) as contact, or as alias of one."""
        return [int(row[0]) for row in self._connection.rows(_USERS_WITH, whose=address, most=limit)]

    def has_told(self, user_id: int, identifier: str, host: str) -> bool:
        """Whether a contact of the user at this host knows the user by this identifier."""
        at_host = f"%@{_escaped(host)}"
        return self._connection.row(_HAS_TOLD, user_id=user_id, given=identifier, at_host=at_host) is not None

    def told_at(self, user_id: int, host: str) -> str | None:
        """By which identifier the first contact of the user at this host knows the user, if one does."""
        row = self._connection.row(_TOLD_AT, user_id=user_id, at_host=f"%@{_escaped(host)}")
        return str(row[0]) if row else None

    def add_alias(self, contact: Contact, address: str, *, verified: bool = False) -> None:
        """Note a further address of the same person; nothing where the user has it as alias already."""
        owner = {"contact_id": contact.id, "user_id": contact.user_id}
        self._connection.change(_ADD_ALIAS, **owner, address=address, verified=verified)

    def set_verified(self, contact: Contact, address: str) -> None:
        """Its own server has signed something of this address, which is one of the contact's."""
        if address == contact.address:
            self._connection.change(_VERIFY, which=contact.id, verified=True)
        else:
            self._connection.change(_VERIFY_ALIAS, which=contact.id, whose=address, verified=True)

    def update(self, contact: Contact) -> None:
        """Write name, e-mail address, source, both marks and the own identifier."""
        self._connection.change(
            _UPDATE,
            which=contact.id,
            name=contact.name,
            email=contact.email,
            source=contact.source,
            trusted=contact.trusted,
            verified=contact.verified,
            own_identifier=contact.own_identifier,
            folded=_folded(contact),
        )

    def set_seen(self, contact_id: int, at: float) -> None:
        """Something came from there."""
        self._connection.change(_SET_SEEN, which=contact_id, last_seen_at=at)

    def remove(self, contact_id: int) -> None:
        """Delete one."""
        self._connection.change(_REMOVE, which=contact_id)


class ContactRemovals:
    """Implements `ports.ContactRemovalStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, user_id: int, address: str, known_as: str, at: float) -> ContactRemoval:
        """Note that a user removed a contact."""
        row = self._connection.row(_ADD_REMOVAL, user_id=user_id, address=address, known_as=known_as, at=at)
        assert row is not None  # noqa: S101  RETURNING of an INSERT that did not raise
        return ContactRemoval(*row)

    def by_id(self, removal_id: int) -> ContactRemoval | None:
        """The removal with this id."""
        row = self._connection.row(_REMOVAL, which=removal_id)
        return ContactRemoval(*row) if row else None

    def remove_older(self, before: float, limit: int) -> int:
        """Forget up to `limit` removals from before that, with their deliveries; returns how many."""
        return self._connection.change(_REMOVE_OLDER, before=before, most=limit)


class Notices:
    """Implements `ports.NoticeStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, notice: Notice, *, kept: int) -> None:
        """Insert; of a user's notices the newest `kept` stay."""
        self._connection.change(
            _ADD_NOTICE,
            user_id=notice.user_id,
            kind=notice.kind,
            address=notice.address,
            name=notice.name,
            shares=notice.shares,
            at=notice.at,
        )
        self._connection.change(_KEEP_NOTICES, whose=notice.user_id, most=kept)

    def of_user(self, user_id: int) -> Sequence[Notice]:
        """Newest first."""
        return [Notice(*row) for row in self._connection.rows(_LIST_NOTICES, whose=user_id)]

    def remove(self, user_id: int, notice_id: int) -> bool:
        """Delete one of the user's; False where there is none."""
        return self._connection.change(_REMOVE_NOTICE, whose=user_id, which=notice_id) == 1


class Identifiers:
    """Implements `ports.IdentifierStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get_or_add(self, user_id: int, purpose: str, proposed: str) -> str:
        """The user's identifier for this purpose, which is `proposed` if there was none."""
        self._connection.change(_NEW_IDENTIFIER, identifier=proposed, user_id=user_id, purpose=purpose)
        found = self.get(user_id, purpose)
        assert found is not None  # noqa: S101  it was there, or was inserted
        return found

    def get(self, user_id: int, purpose: str) -> str | None:
        """The user's identifier for this purpose, if there is one."""
        row = self._connection.row(_IDENTIFIER_FOR, user_id=user_id, what_for=purpose)
        return str(row[0]) if row else None

    def user_of(self, identifier: str) -> int | None:
        """Whose it is."""
        row = self._connection.row(_USER_OF_IDENTIFIER, given=identifier)
        return int(row[0]) if row else None
