"""How a shared Resource is reached, and what may be done with it (section Resource Access, steps 1 to 5).

Rules kept here: must-exchange-token means the token of an exchange and nothing else; without it an exchange on offer is tried
and the secret is what remains; an absolute uri is used as it is, any other is an id below the sender's WebDAV path; the
deprecated form is Basic, the secret as user name, at that path. And the one gate for every access on the sender's side: share
live, not expired, permission for the method.
"""

from collections.abc import Set
from dataclasses import dataclass, field
from enum import Enum
from typing import Final
from urllib.parse import quote

from opencloudmesh.protocol import lifecycle, registries
from opencloudmesh.protocol.discovery import Discovery
from opencloudmesh.protocol.errors import AccessDenied, PeerRefused
from opencloudmesh.protocol.share_protocols import ShareProtocols

READING: Final = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND"})
WRITING: Final = frozenset({"PUT", "MKCOL", "DELETE", "COPY", "MOVE", "PROPPATCH", "LOCK", "UNLOCK"})
REMOVING: Final = frozenset({"DELETE", "MOVE"})


class Exchange(Enum):
    """Whether the secret is exchanged for a token before access."""

    REQUIRED = "required"
    TRIED = "tried"
    NONE = "none"


class Scheme(Enum):
    """How the secret goes out where no token does: `Authorization: Bearer secret`, or Basic with `secret:`."""

    BEARER = "bearer"
    BASIC = "basic"


@dataclass(frozen=True, slots=True)
class AccessPlan:
    """How to reach a received share: `url` is its root, without a trailing slash unless the sender wrote one.

    With `exchange` REQUIRED only the token of `token_end_point` is used; with TRIED the secret is used if the exchange fails;
    a token always goes as Bearer. `needs_mfa`: the user must have given a second factor (ACC-4).
    """

    url: str
    exchange: Exchange
    secret: str = field(repr=False)
    scheme: Scheme
    token_end_point: str | None
    needs_mfa: bool


@dataclass(frozen=True, slots=True)
class ShareAccess:
    """What the gate knows of an outgoing share; `by_secret`: the request came with the raw secret, not with a token."""

    state: str
    permissions: Set[str]
    expires_at: float | None
    is_folder: bool
    requirements: Set[str] = frozenset()
    by_secret: bool = False


def plan_access(
    protocols: ShareProtocols,
    *,
    resource_type: str,
    sender_host: str,
    discovery: Discovery,
    origin: str | None = None,
    no_downgrade: bool = False,
) -> AccessPlan:
    """Plan the access to a received share by webdav, after the discovery of the sender's server.

    `origin` is https://<sender_host> unless a test set-up says otherwise. `no_downgrade` forbids the fall-back to the secret
    where an exchange is on offer. Raises `PeerRefused`: protocol-unsupported, webdav-path-missing, exchange-not-offered.
    """
    # (1) discover: `discovery`, and from it the prefix
    root = _root(origin or f"https://{sender_host}", discovery.webdav_path(resource_type))
    secret = protocols.legacy_secret
    if protocols.webdav is None:
        if secret is None:
            raise _refused("The share offers no WebDAV access.", "protocol-unsupported")
        # (5) the deprecated form
        return AccessPlan(_known(root), Exchange.NONE, secret, Scheme.BASIC, None, needs_mfa=False)
    # (2) protocol.webdav
    webdav = protocols.webdav
    # (3.1) the exchange
    exchange = _exchange(registries.MUST_EXCHANGE_TOKEN in webdav.requirements, discovery, no_downgrade)
    # (3.2) the second factor
    needs_mfa = registries.MUST_USE_MFA in webdav.requirements
    # (4) the uri
    url = _url(webdav.uri, root, origin or f"https://{sender_host}")
    scheme = Scheme.BEARER if webdav.uri else Scheme.BASIC
    token_end_point = None if exchange is Exchange.NONE else discovery.token_end_point
    return AccessPlan(url, exchange, webdav.shared_secret, scheme, token_end_point, needs_mfa)


def may(access: ShareAccess, method: str, path: str, now: float) -> None:
    """Let a request pass, or raise `AccessDenied`.

    Codes: share-revoked, share-expired, exchange-required, read-refused, read-only, method-not-allowed. `path` is relative to
    the share, "" for its root.
    """
    if (access.expires_at is not None and now >= access.expires_at) or access.state == lifecycle.EXPIRED:
        raise AccessDenied("The share has expired.", code="share-expired")
    if access.state not in lifecycle.GIVES_ACCESS:
        raise AccessDenied("The share is not there any more.", code="share-revoked")
    if access.by_secret and registries.MUST_EXCHANGE_TOKEN in access.requirements:
        raise AccessDenied("The shared secret must be exchanged for a token first.", code="exchange-required")
    if method in READING:
        _need(access, registries.READ, "The share gives no right to read.", "read-refused")
    elif method in WRITING:
        _need(access, registries.WRITE, "The share is read-only.", "read-only")
        if method in REMOVING and not path.strip("/"):
            raise AccessDenied("The root of a share cannot be removed or moved.", code="method-not-allowed")
        if method == "MKCOL" and not access.is_folder:
            raise AccessDenied("A shared file cannot hold folders.", code="method-not-allowed")
    else:
        raise AccessDenied("This method is not allowed on a share.", code="method-not-allowed")


def _need(access: ShareAccess, permission: str, sentence: str, code: str) -> None:
    if permission not in access.permissions:
        raise AccessDenied(sentence, code=code)


def _exchange(required: bool, discovery: Discovery, no_downgrade: bool) -> Exchange:
    if required and discovery.token_end_point is None:
        raise _refused("The share demands a token exchange, and its server does not offer one.", "exchange-not-offered")
    if required or (no_downgrade and discovery.offers_exchange):
        return Exchange.REQUIRED
    return Exchange.TRIED if discovery.offers_exchange else Exchange.NONE


def _root(origin: str, path: str | None) -> str | None:
    return path if path is None or "://" in path else origin + path


def _known(root: str | None) -> str:
    if root is None:
        raise _refused("The sender's server does not say where its WebDAV is.", "webdav-path-missing")
    return root


def _url(uri: str, root: str | None, origin: str) -> str:
    if "://" in uri:
        return uri
    # Only what no path may hold is escaped: the sender may have escaped the rest already.
    escaped = quote(uri, safe="/%:@!$&'()*+,;=~")
    if uri.startswith("/"):
        return origin + escaped
    return f"{_known(root).rstrip('/')}/{escaped}" if uri else _known(root)


def _refused(sentence: str, code: str) -> PeerRefused:
    return PeerRefused(sentence, code=code)
