"""What our users shared, as the Receiving Server's requests may see it.

Rules kept here: every request is checked against the share as it is now (ACC-9), also with a token issued before; a share that
must be reached by a token refuses its raw secret; an unknown share, a wrong secret and somebody else's token look alike; a server
that we do not deal with gets nothing, and is told so where its credentials are right. Where the path names no share Basic
credentials do: receivers that know our WebDAV path only, and not the share's uri, come there with the secret of the share.
"""

import hmac
from collections.abc import Iterable
from functools import partial

from opencloudmesh.protocol.errors import Unauthorized
from opencloudmesh.protocol.lifecycle import GIVES_ACCESS
from opencloudmesh.protocol.registries import FOLDER, MUST_EXCHANGE_TOKEN
from opencloudmesh.protocol.resource_access import ShareAccess, may
from opencloudmesh.services.code_flow import CodeFlow
from opencloudmesh.services.exchanges import because, sender_is
from opencloudmesh.services.peers import Peers
from opencloudmesh.services.ports import Clock, Database, DavTree, StorageFor, Transaction
from opencloudmesh.services.records import OutgoingShare, User
from opencloudmesh.services.resource_access.credentials import Basic, Bearer, parse_authorization, presented
from opencloudmesh.services.resource_access.subtree import Subtree
from opencloudmesh.services.tree_state import Known, Place, TreeStates, tree_of


class SharedTrees:
    """Resolve `/dav/ocm/<share>/` for a Receiving Server."""

    def __init__(
        self,
        *,
        database: Database,
        peers: Peers,
        code_flow: CodeFlow,
        storage_for: StorageFor,
        states: TreeStates,
        clock: Clock,
    ) -> None:
        self._db = database
        self._peers = peers
        self._code_flow = code_flow
        self._storage_for = storage_for
        self._states = states
        self._clock = clock

    async def resolve(self, provider_id: str, authorization: str | None) -> DavTree:
        """The shared resource as a tree with its gate.

        Raises `Unauthorized` for missing or wrong credentials; the gate raises `AccessDenied` (share-revoked, share-expired,
        read-only).
        """
        credentials = parse_authorization(authorization)
        if credentials is None:
            because("No credentials were sent.")
            raise _unauthorized()
        share, owner, known = await self._found(provider_id, credentials)
        if share is None or owner is None or owner.disabled:
            because("There is no such share." if share is None else "The account of the share's owner is disabled.")
            raise _unauthorized()
        opens = self._opens(share, credentials)
        sender_is(share.peer, verified=opens)
        if not opens:
            because(_why_not(share, credentials))
            raise _unauthorized()
        if not self._peers.is_allowed(share.peer):  # 401, for it may be allowed again: 403 would say that the share is gone
            because(self._peers.trust.explain(share.peer).sentence)
            raise _denied()
        self._peers.accessed_by(share.peer)
        if share.state not in GIVES_ACCESS or (share.expires_at is not None and share.expires_at <= self._clock()):
            await self._code_flow.on_refused(share)
        place = Place(tree_of(owner), share.path)
        locks, properties = self._states.of(place, f"share:{share.provider_id}", known=known)
        return DavTree(
            Subtree(self._storage_for(owner), share.path),
            lambda method, path: self._may(share, method, path),
            locks,
            properties,
            partial(self._may_still, share.provider_id),
            name=share.name,
            is_file=share.resource_type != FOLDER,
            at_mount=share.provider_id != provider_id,
        )

    def _may(self, share: OutgoingShare, method: str, path: str) -> None:
        access = ShareAccess(
            state=share.state,
            permissions=frozenset(share.permissions),
            expires_at=share.expires_at,
            is_folder=share.resource_type == FOLDER,
        )
        may(access, method, path, self._clock())

    async def _may_still(self, provider_id: str, method: str, path: str) -> None:
        share, owner, _ = await self._found(provider_id)
        if share is None or owner is None or owner.disabled:
            raise _unauthorized()
        if not self._peers.is_allowed(share.peer):
            raise _denied()
        self._may(share, method, path)

    async def _found(
        self, provider_id: str, credentials: Bearer | Basic | None = None
    ) -> tuple[OutgoingShare | None, User | None, Known]:
        """The share of the path, or else the one whose secret stands in Basic credentials."""
        found = await self._db.read_again(("share", provider_id), lambda tx: _with_owner(tx, provider_id))
        if found is not None:
            return found
        if isinstance(credentials, Basic):
            secrets = presented(credentials)
            return await self._db.read(lambda tx: _by_secret(tx, secrets)) or (None, None, Known())
        return None, None, Known()

    def _opens(self, share: OutgoingShare, credentials: Bearer | Basic) -> bool:
        if isinstance(credentials, Bearer) and credentials.token.reveal().count(".") == 2:
            return self._code_flow.share_named_by(credentials.token.reveal()) == share.provider_id
        if share.requirements is None or MUST_EXCHANGE_TOKEN in share.requirements:
            return False
        secret = share.secret.reveal().encode()
        return any([hmac.compare_digest(one.encode("utf-8", "replace"), secret) for one in presented(credentials)])


def _why_not(share: OutgoingShare, credentials: Bearer | Basic) -> str:
    if isinstance(credentials, Bearer) and credentials.token.reveal().count(".") == 2:
        return "The access token is not for this share, or has ended."
    if share.requirements is None or MUST_EXCHANGE_TOKEN in share.requirements:
        return "The shared secret itself was sent, where an access token is required."
    return "The shared secret is wrong."


_Found = tuple[OutgoingShare, User | None, Known]


def _with_owner(tx: Transaction, provider_id: str) -> _Found | None:
    share = tx.outgoing_shares.by_provider_id(provider_id) if provider_id.isascii() and provider_id.isprintable() else None
    return _and_owner(tx, share) if share is not None else None


def _by_secret(tx: Transaction, secrets: Iterable[str]) -> _Found | None:
    found = (tx.outgoing_shares.by_secret(secret) for secret in secrets)
    share = next((share for share in found if share is not None), None)
    return _and_owner(tx, share) if share is not None else None


def _and_owner(tx: Transaction, share: OutgoingShare) -> _Found:
    owner = tx.users.by_id(share.user_id)
    return share, owner, TreeStates.known(tx, tree_of(owner)) if owner is not None else Known()


def _unauthorized() -> Unauthorized:
    return Unauthorized("This share needs a valid access token.", code="token-invalid")


def _denied() -> Unauthorized:
    return Unauthorized("This server does not deal with yours.", code="policy-denied")
