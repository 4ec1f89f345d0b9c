"""The discovery document, read from others and built for ourselves (section OCM API Discovery).

Rules kept here: enabled, apiVersion, endPoint and resourceTypes are there; unknown fields, capabilities, criteria, resource types
and protocols are kept and never refused; what we publish keeps the draft's promises (tokenEndPoint with exchange-token, no
must-exchange-token without it). The documents of deployed servers are understood: `shareTypes` in place of `resourceTypes`, one
object in place of a list, relative paths, trailing slashes, capabilities with a leading slash, `version` beside or without
`apiVersion`, empty lists in place of empty objects.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from opencloudmesh.protocol import registries
from opencloudmesh.protocol.address import host_of_url
from opencloudmesh.protocol.errors import FieldFault, InvalidInput, InvalidMessage, PeerRefused
from opencloudmesh.protocol.messages import has_control_characters, read_object

_OLD_WORDS: Final[Mapping[str, str]] = {"invite-accepted": registries.INVITES}


@dataclass(frozen=True, slots=True)
class ResourceType:
    """One entry of `resourceTypes`; `protocols` as received."""

    name: str
    share_types: tuple[str, ...]
    protocols: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Discovery:
    """What another server says of itself. `end_point` has no trailing slash; `raw` is the whole document."""

    enabled: bool
    api_version: str
    end_point: str
    provider: str
    resource_types: tuple[ResourceType, ...]
    capabilities: frozenset[str]
    criteria: frozenset[str]
    token_end_point: str | None
    jwks_uri: str | None
    invite_accept_dialog: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    def supports(self, capability: str) -> bool:
        return capability in self.capabilities

    def requires(self, criterion: str) -> bool:
        return criterion in self.criteria

    @property
    def offers_exchange(self) -> bool:
        """Whether shared secrets can be exchanged for tokens there: the capability and its `tokenEndPoint`."""
        return registries.EXCHANGE_TOKEN in self.capabilities and self.token_end_point is not None

    def takes(self, resource_type: str, share_type: str) -> bool:
        return any(t.name == resource_type and share_type in t.share_types for t in self.resource_types)

    def webdav_path(self, resource_type: str) -> str | None:
        """The WebDAV path (or, from a few servers, URL) of this resource type, else that of the first type that has one."""
        paths = ((t.name, _webdav_path(t.protocols.get(registries.WEBDAV))) for t in self.resource_types)
        usable = [(name, path) for name, path in paths if path is not None]
        own = next((path for name, path in usable if name == resource_type), None)
        return own if own is not None or not usable else usable[0][1]

    @property
    def webdav_receive_uri(self) -> str | None:
        """`absolute` or `relative`, the form of webdav uri this server takes, or None if it does not say."""
        for resource_type in self.resource_types:
            details = resource_type.protocols.get(registries.WEBDAV + registries.RECEIVE_SUFFIX)
            form = details.get("uri") if isinstance(details, dict) else None
            if form in (registries.ABSOLUTE, registries.RELATIVE):
                return str(form)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnOffer:
    """What our own server offers. `origin` is the public origin without a trailing slash; the words are what is really on."""

    origin: str
    provider: str
    capabilities: Iterable[str] = ()
    criteria: Iterable[str] = ()
    share_types: tuple[str, ...] = (registries.USER,)
    webdav_root: str = "/dav/ocm/"
    invite_accept_dialog: str | None = None
    jwks_uri: str | None = None
    public_key: Mapping[str, str] | None = None


def well_known_urls(origin: str) -> tuple[str, ...]:
    """The URLs to ask for a discovery document, in this order; deployed servers serve one or the other."""
    return (f"{origin}/.well-known/ocm", f"{origin}/ocm-provider/", f"{origin}/ocm-provider")


def build_discovery(offer: OwnOffer) -> dict[str, Any]:
    """Build our own document; raises `InvalidInput` (offer-contradictory) if it would break the draft's promises."""
    capabilities, criteria = list(dict.fromkeys(offer.capabilities)), list(dict.fromkeys(offer.criteria))
    exchange = registries.EXCHANGE_TOKEN in capabilities
    if registries.MUST_EXCHANGE_TOKEN in criteria and not exchange:
        raise _contradictory("must-exchange-token is demanded and exchange-token is not offered")
    if registries.USER not in offer.share_types:
        raise _contradictory('the share type "user" is not offered')
    document: dict[str, Any] = {
        "enabled": True,
        "apiVersion": registries.API_VERSION,
        "endPoint": f"{offer.origin}/ocm",
        "provider": offer.provider,
        "resourceTypes": [_own_type(name, offer) for name in (registries.FILE, registries.FOLDER)],
        "capabilities": capabilities,
        "criteria": criteria,
    }
    if exchange:
        document["tokenEndPoint"] = f"{offer.origin}/ocm/token"
    if registries.HTTP_SIG in capabilities:
        document["jwksUri"] = offer.jwks_uri or f"{offer.origin}/.well-known/jwks.json"
    if offer.public_key is not None:
        document["publicKey"] = dict(offer.public_key)
    if registries.INVITES in capabilities and offer.invite_accept_dialog is not None:
        document["inviteAcceptDialog"] = offer.invite_accept_dialog
    return document


def parse_discovery(body: bytes) -> Discovery:
    """Read another server's document; raises `PeerRefused` (discovery-not-json, or discovery-invalid naming all faults).

    A document with `enabled` false is read, whatever else it lacks: the caller refuses it (DISC-11).
    """
    try:
        raw = read_object(body)
    except InvalidMessage as error:
        said = str(error).removeprefix(": ")
        raise PeerRefused(f"The discovery document cannot be read: {said}.", code="discovery-not-json") from None
    faults: list[FieldFault] = []
    enabled = _enabled(raw, faults)
    end_point = _end_point(raw, faults)
    resource_types = _resource_types(raw, faults)
    if faults and enabled is not False:
        told = "; ".join(f"{f.name} {f.message}" for f in faults)
        raise PeerRefused(f"The discovery document is invalid: {told}.", code="discovery-invalid")
    capabilities = frozenset(_capabilities(raw.get("capabilities")))
    return Discovery(
        enabled=enabled is True,
        api_version=_version(raw),
        end_point=end_point,
        provider=_text(raw.get("provider")),
        resource_types=resource_types,
        capabilities=capabilities | {_OLD_WORDS[word] for word in capabilities & _OLD_WORDS.keys()},
        criteria=frozenset(_words(raw.get("criteria"))),
        token_end_point=_url(raw.get("tokenEndPoint"), end_point),
        jwks_uri=_url(raw.get("jwksUri"), end_point),
        invite_accept_dialog=_url(raw.get("inviteAcceptDialog"), end_point),
        raw=raw,
    )


def _contradictory(reason: str) -> InvalidInput:
    return InvalidInput(f"Our discovery document would be wrong: {reason}.", code="offer-contradictory")


def _own_type(name: str, offer: OwnOffer) -> dict[str, Any]:
    protocols = {registries.WEBDAV: offer.webdav_root, "webdav-receive": {"uri": registries.ABSOLUTE}}
    return {"name": name, "shareTypes": list(offer.share_types), "protocols": protocols}


def _enabled(raw: Mapping[str, Any], faults: list[FieldFault]) -> bool | None:
    enabled = raw.get("enabled")
    if isinstance(enabled, bool):
        return enabled
    faults.append(FieldFault("enabled", "must be true or false" if "enabled" in raw else "is missing"))
    return None


def _end_point(raw: Mapping[str, Any], faults: list[FieldFault]) -> str:
    url = raw.get("endPoint")
    if isinstance(url, str) and _is_url(url) and not set("?#") & set(url):
        return url.rstrip("/")
    faults.append(FieldFault("endPoint", "must be an absolute http or https URL" if "endPoint" in raw else "is missing"))
    return ""


def _resource_types(raw: Mapping[str, Any], faults: list[FieldFault]) -> tuple[ResourceType, ...]:
    key = "resourceTypes" if "resourceTypes" in raw or "shareTypes" not in raw else "shareTypes"
    entries = raw.get(key)
    if isinstance(entries, dict):
        entries = [entries] if "name" in entries else list(entries.values())
    if not isinstance(entries, list):
        faults.append(FieldFault(key, "must be an array" if key in raw else "is missing"))
        return ()
    types = (_resource_type(f"{key}.{index}", entry, faults) for index, entry in enumerate(entries))
    return tuple(t for t in types if t is not None)


def _resource_type(path: str, entry: Any, faults: list[FieldFault]) -> ResourceType | None:
    if not isinstance(entry, dict):
        faults.append(FieldFault(path, "must be an object"))
        return None
    name, protocols = entry.get("name"), entry.get("protocols")
    if not isinstance(name, str) or not name:
        faults.append(FieldFault(f"{path}.name", "must be a string" if "name" in entry else "is missing"))
    if not isinstance(protocols, dict) and protocols not in (None, []):
        faults.append(FieldFault(f"{path}.protocols", "must be an object"))
    share_types = tuple(_words(entry.get("shareTypes"))) or (registries.USER,)
    return ResourceType(_text(name), share_types, protocols if isinstance(protocols, dict) else {})


def _version(raw: Mapping[str, Any]) -> str:
    version = next((raw[key] for key in ("apiVersion", "version") if raw.get(key) is not None), "")
    return str(version) if isinstance(version, str | int | float) else ""


def _capabilities(words: Any) -> Iterator[str]:
    return (word.strip("/").lower() for word in _words(words))


def _words(words: Any) -> Iterator[str]:
    values = words.values() if isinstance(words, dict) else words if isinstance(words, list) else ()
    return (word for word in values if isinstance(word, str))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _url(value: Any, end_point: str) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    if value.startswith("/") and not value.startswith("//") and end_point:
        value = _origin(end_point) + value
    return value if _is_url(value) else None


def _origin(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])


def _is_url(text: str) -> bool:
    # Characters of a URL only (RFC 3986, section 2): no others can be asked for, or signed.
    if not text.isascii() or not text.isprintable() or " " in text:
        return False
    try:
        host_of_url(text)
    except InvalidInput:
        return False
    return True


def _webdav_path(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("uri", value.get("url"))
    if not isinstance(value, str) or not value or has_control_characters(value) or set("?#\\ ") & set(value):
        return None
    if "://" in value:
        return value if _is_url(value) else None
    return "/" + value.lstrip("/")
