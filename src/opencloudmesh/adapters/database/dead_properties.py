"""The store of dead properties (RFC 4918 section 4), with the bytes that they take.

A resource is found by its folder and its name, so that a listing reads what belongs to it in one go.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    and_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as insert_or_update

from opencloudmesh.adapters.database.connection import Connection, Row, Statement
from opencloudmesh.adapters.database.paths import below, from_bytes, split, to_bytes
from opencloudmesh.adapters.database.schema import dead_properties, dead_property_bytes
from opencloudmesh.services.ports import Name, Properties, PropertyChange
from opencloudmesh.services.tree_state import bounds

_TABLE = dead_properties.c
_OF_TREE = _TABLE.tree == bindparam("which")
_SELF = and_(_OF_TREE, _TABLE.folder == bindparam("at_folder"), _TABLE.name == bindparam("at_name"))
_CHILDREN = and_(_OF_TREE, _TABLE.folder == bindparam("at"))
_BELOW = and_(
    _OF_TREE,
    or_(_TABLE.folder == bindparam("at"), and_(_TABLE.folder >= bindparam("first"), _TABLE.folder < bindparam("end"))),
)
_COLUMNS = (_TABLE.folder, _TABLE.name, _TABLE.namespace, _TABLE.local, _TABLE.element)
_NAMES: Final = ["tree", "folder", "name", "namespace", "local", "element", "size"]
_TOTAL = func.coalesce(func.sum(_TABLE.size), 0)

_ANY = Statement(select(literal(1)).select_from(dead_properties).where(_OF_TREE).limit(1))
_GET = Statement(select(*_COLUMNS).where(_SELF))
_LIST = Statement(select(*_COLUMNS).where(_CHILDREN))
_ADD = Statement(insert(dead_properties), columns=_NAMES)
_ONE = and_(_SELF, _TABLE.namespace == bindparam("of_namespace"), _TABLE.local == bindparam("of_local"))
_REMOVE_ONE = Statement(delete(dead_properties).where(_ONE).returning(_TABLE.size))
_SIZE_OF_SELF = Statement(select(_TOTAL).where(_SELF))
_SIZE_OF_BELOW = Statement(select(_TOTAL).where(_BELOW))
_SIZE_OF_TREE = Statement(select(_TOTAL).where(_OF_TREE))
_REMOVE_SELF = Statement(delete(dead_properties).where(_SELF))
_REMOVE_BELOW = Statement(delete(dead_properties).where(_BELOW))
_REMOVE_TREE = Statement(delete(dead_properties).where(_OF_TREE))
_COUNTED = insert_or_update(dead_property_bytes)
_COUNT = Statement(
    _COUNTED.on_conflict_do_update(
        index_elements=[dead_property_bytes.c.tree], set_={"size": dead_property_bytes.c.size + _COUNTED.excluded.size}
    ).returning(dead_property_bytes.c.size),
    columns=["tree", "size"],
)


def _elsewhere() -> ColumnElement[bytes]:
    """The folder of something below `at` after that has become `to`."""
    rest = func.substr(_TABLE.folder, func.length(bindparam("at", type_=LargeBinary)) + 1)
    return cast(bindparam("to", type_=LargeBinary).op("||")(rest), LargeBinary)


def _copied(folder: ColumnElement[bytes], name: ColumnElement[bytes], where: ColumnElement[bool]) -> Statement:
    columns = (_TABLE.tree, folder, name, _TABLE.namespace, _TABLE.local, _TABLE.element, _TABLE.size)
    return Statement(insert(dead_properties).from_select(_NAMES, select(*columns).where(where)))


_TO_FOLDER: Final = bindparam("to_folder", type_=LargeBinary)
_TO_NAME: Final = bindparam("to_name", type_=LargeBinary)
_COPY_SELF = _copied(_TO_FOLDER, _TO_NAME, _SELF)
_COPY_BELOW = _copied(_elsewhere(), _TABLE.name, _BELOW)
_MOVE_SELF = Statement(update(dead_properties).where(_SELF).values(folder=_TO_FOLDER, name=_TO_NAME), columns=[])
_MOVE_BELOW = Statement(update(dead_properties).where(_BELOW).values(folder=_elsewhere()), columns=[])


class DeadProperties:
    """Implements `ports.DeadPropertyStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def any(self, tree: str) -> bool:
        """Whether there are some."""
        return self._connection.row(_ANY, which=tree) is not None

    def of(self, tree: str, path: str) -> Properties:
        """Those of one resource."""
        folder, name = split(path)
        return _by_path(self._connection.rows(_GET, which=tree, at_folder=folder, at_name=name)).get(path, {})

    def around(self, tree: str, path: str) -> Mapping[str, Properties]:
        """Those of a folder and of its children."""
        rows = self._connection.rows(_LIST, which=tree, at=to_bytes(path))
        if path:
            folder, name = split(path)
            rows += self._connection.rows(_GET, which=tree, at_folder=folder, at_name=name)
        return _by_path(rows)

    def change(self, tree: str, path: str, changes: Sequence[PropertyChange]) -> None:
        """Set and remove, in this order; raises `StorageFull` (properties-full)."""
        folder, name = split(path)
        resource = {"at_folder": folder, "at_name": name}
        grown = 0
        for change in changes:
            namespace, local = change.name
            removed = self._connection.row(_REMOVE_ONE, which=tree, of_namespace=namespace, of_local=local, **resource)
            grown -= removed[0] if removed else 0
            if change.element is None:
                continue
            row = {"tree": tree, "folder": folder, "name": name, "namespace": namespace, "local": local}
            size = bounds.property_bytes(path, namespace, local, change.element)
            self._connection.change(_ADD, **row, element=change.element, size=size)
            grown += size
        if grown > 0:
            bounds.check_resource(self._sum(_SIZE_OF_SELF, which=tree, **resource))
        self._count(tree, grown)

    def copy(self, tree: str, source: str, target: str, *, deep: bool) -> None:
        """Give the properties of one resource to another, with `deep` also those below it; raises `StorageFull`."""
        self.forget(tree, target)
        at, to = self._self(tree, source), _to(target)
        grown = self._sum(_SIZE_OF_SELF, **at)
        self._connection.change(_COPY_SELF, **at, **to)
        if deep:
            under = _below(tree, source)
            grown += self._sum(_SIZE_OF_BELOW, **under)
            self._connection.change(_COPY_BELOW, **under, to=to_bytes(target))
        self._count(tree, grown)

    def move(self, tree: str, source: str, target: str) -> None:
        """One resource, and everything below it, has moved."""
        self.forget(tree, target)
        self._connection.change(_MOVE_SELF, **self._self(tree, source), **_to(target))
        self._connection.change(_MOVE_BELOW, **_below(tree, source), to=to_bytes(target))

    def forget(self, tree: str, path: str) -> None:
        """Nothing stands at a path any more, nor below it."""
        if not path:
            self._count(tree, -self._sum(_SIZE_OF_TREE, which=tree))
            self._connection.change(_REMOVE_TREE, which=tree)
            return
        at, under = self._self(tree, path), _below(tree, path)
        gone = self._sum(_SIZE_OF_SELF, **at) + self._sum(_SIZE_OF_BELOW, **under)
        if gone:
            self._connection.change(_REMOVE_SELF, **at)
            self._connection.change(_REMOVE_BELOW, **under)
            self._count(tree, -gone)

    @staticmethod
    def _self(tree: str, path: str) -> dict[str, object]:
        folder, name = split(path)
        return {"which": tree, "at_folder": folder, "at_name": name}

    def _sum(self, statement: Statement, **values: object) -> int:
        row = self._connection.row(statement, **values)
        return int(row[0]) if row else 0

    def _count(self, tree: str, grown: int) -> None:
        if not grown:
            return
        row = self._connection.row(_COUNT, tree=tree, size=grown)
        if grown > 0 and row is not None:
            bounds.check_tree(row[0])


def _below(tree: str, path: str) -> dict[str, object]:
    at = to_bytes(path)
    first, end = below(at)
    return {"which": tree, "at": at, "first": first, "end": end}


def _to(path: str) -> dict[str, object]:
    folder, name = split(path)
    return {"to_folder": folder, "to_name": name}


def _by_path(rows: Iterable[Row]) -> dict[str, dict[Name, str]]:
    found: dict[str, dict[Name, str]] = {}
    for folder, name, namespace, local, element in rows:
        path = from_bytes(b"/".join(part for part in (bytes(folder), bytes(name)) if part))
        found.setdefault(path, {})[Name(namespace, local)] = element
    return found
