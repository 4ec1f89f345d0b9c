"""The store of the keys that peers publish and published (Appendix B: JWKS Endpoint)."""

from collections.abc import Sequence

from sqlalchemy import Integer, bindparam, delete, null, select, update
from sqlalchemy.dialects.postgresql import insert

from opencloudmesh.adapters.database.connection import Connection, Statement
from opencloudmesh.adapters.database.schema import peer_keys
from opencloudmesh.services.records import PeerKey

_ALL = 1 << 31
_TABLE = peer_keys.c
_COLUMNS = (
    _TABLE.host,
    _TABLE.kid,
    _TABLE.thumbprint,
    _TABLE.algorithm,
    _TABLE.jwk,
    _TABLE.first_seen,
    _TABLE.last_seen,
    _TABLE.gone_at,
    _TABLE.pinned,
)
_OF_HOST = _TABLE.host == bindparam("of_host")
_THIS = (_OF_HOST, _TABLE.kid == bindparam("of_kid"), _TABLE.thumbprint == bindparam("of_thumbprint"))
_INSERT = insert(peer_keys)
_OF = Statement(select(*_COLUMNS).where(_OF_HOST).order_by(_TABLE.first_seen, _TABLE.kid, _TABLE.thumbprint))
_SEEN = Statement(
    _INSERT.on_conflict_do_update(
        index_elements=[_TABLE.host, _TABLE.kid, _TABLE.thumbprint],
        set_={"last_seen": _INSERT.excluded.last_seen, "gone_at": null()},
    ),
    columns=[column.name for column in _COLUMNS],
)
_GONE = Statement(update(peer_keys).where(*_THIS), columns=["gone_at"])
_PIN = Statement(update(peer_keys).where(_OF_HOST, _TABLE.thumbprint == bindparam("of_thumbprint")), columns=["pinned"])
_UNPIN = Statement(update(peer_keys).where(_OF_HOST, _TABLE.pinned).values(pinned=False))
_FORGET_OLD = Statement(
    delete(peer_keys).where(
        _TABLE.id.in_(
            select(_TABLE.id)
            .where(_OF_HOST, _TABLE.gone_at.is_not(None), _TABLE.pinned.is_not(True))
            .order_by(_TABLE.gone_at.desc(), _TABLE.id.desc())
            .limit(_ALL)
            .offset(bindparam("kept", type_=Integer))
        )
    )
)
_REMOVE = Statement(delete(peer_keys).where(_OF_HOST))


class PeerKeys:
    """Implements `ports.PeerKeyStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, host: str) -> Sequence[PeerKey]:
        """All keys of a host, those first seen first."""
        return [PeerKey(*(*row[:8], bool(row[8]))) for row in self._connection.rows(_OF, of_host=host)]

    def saw(self, key: PeerKey) -> None:
        """The host publishes this key: insert it, or note when it was last seen."""
        self._connection.change(
            _SEEN,
            host=key.host,
            kid=key.kid,
            thumbprint=key.thumbprint,
            algorithm=key.algorithm,
            jwk=key.jwk,
            first_seen=key.first_seen,
            last_seen=key.last_seen,
            gone_at=None,
            pinned=key.pinned,
        )

    def set_gone(self, key: PeerKey, at: float) -> None:
        """The host does not publish this key any more."""
        self._connection.change(_GONE, of_host=key.host, of_kid=key.kid, of_thumbprint=key.thumbprint, gone_at=at)

    def pin(self, host: str, thumbprints: Sequence[str]) -> None:
        """Pin these keys of a host, and no others."""
        self._connection.change(_UNPIN, of_host=host)
        for thumbprint in thumbprints:
            self._connection.change(_PIN, of_host=host, of_thumbprint=thumbprint, pinned=True)

    def forget_old(self, host: str, kept: int) -> None:
        """Forget keys that are gone and not pinned, but for the `kept` that went last."""
        self._connection.change(_FORGET_OLD, of_host=host, kept=kept)

    def remove(self, host: str) -> None:
        """Forget all keys of a host."""
        self._connection.change(_REMOVE, of_host=host)
