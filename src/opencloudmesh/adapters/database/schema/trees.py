"""Locks and dead properties of the trees that WebDAV serves."""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, LargeBinary, Table, Text

from opencloudmesh.adapters.database.schema.columns import Identifier, metadata, text

locks = Table(
    "locks",
    metadata,
    Column("token", Text, primary_key=True),
    text("tree"),
    Column("path", LargeBinary, nullable=False),  # names are bytes
    Column("exclusive", Boolean, nullable=False),
    Column("infinite", Boolean, nullable=False),
    text("owner"),
    text("principal"),
    Column("expires_at", Double, nullable=False, index=True),
    Index(None, "tree"),
)

dead_properties = Table(
    "dead_properties",
    metadata,
    Column("tree", Text, primary_key=True),
    Column("folder", LargeBinary, primary_key=True),  # names are bytes; the root has folder and name empty
    Column("name", LargeBinary, primary_key=True),
    Column("namespace", Text, primary_key=True),
    Column("local", Text, primary_key=True),
    text("element"),
    Column("size", Integer, nullable=False),
)

dead_property_bytes = Table(
    "dead_property_bytes",
    metadata,
    Column("tree", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),  # of all properties of the tree together
)

unfinished_folders = Table(
    "unfinished_folders",
    metadata,
    Column("user_id", Identifier, primary_key=True, autoincrement=False),
    Column("path", LargeBinary, primary_key=True),
    Column("share_id", Identifier),  # of the received share that holds it, else it is among the user's own files
    text("holder"),  # the process that makes it
    Column("begun_at", Double, nullable=False),
)
