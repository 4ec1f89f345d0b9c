"""The `protocol` object of a share: how its Resource can be reached (section Share Creation Notification: Fields, protocol).

Rules kept here: all three forms are read (name and options, name and details, multi), and the mixtures of deployed servers;
accessTypes defaults to remote; a webapp has an absolute uri, targets, permissions and must-exchange-token; the requirements of
all protocols agree; no secret stands in a uri. Unknown requirement words are kept: admission refuses them. Unknown protocols
and fields are kept in `raw`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, StrictStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from opencloudmesh.protocol import registries
from opencloudmesh.protocol.address import host_of_url
from opencloudmesh.protocol.errors import FieldFault, InvalidInput, InvalidMessage
from opencloudmesh.protocol.messages import WireModel, has_control_characters, validated

LEGACY_PERMISSIONS: Final = "{http://open-cloud-mesh.org/ns}share-permissions"
"""What deployed servers write as permissions of the options form: the name of a WebDAV property, not a list."""


def _refuse(reason: str) -> PydanticCustomError:
    return PydanticCustomError("ocm", "{reason}", {"reason": reason})


def _web_url(uri: str) -> str:
    try:
        host_of_url(uri)
    except InvalidInput:
        raise _refuse("must be an absolute http or https URL without user name") from None
    return uri


def _webdav_uri(uri: str) -> str:
    if has_control_characters(uri) or "\\" in uri:
        raise _refuse("holds characters that are not allowed here")
    if "://" in uri:
        _web_url(uri)
    if any(part in (".", "..") for part in uri.split("/")):
        raise _refuse("must not hold dot segments")
    return uri


Uri = Annotated[StrictStr, Field(min_length=1, max_length=8192)]
Secret = Annotated[StrictStr, Field(min_length=1, max_length=4096, pattern=r"^[\x21-\x7e]+$")]
AccessType = Literal["remote", "datatx"]
WebdavPermission = Literal["read", "write", "share"]
WebappPermission = Literal["view", "read", "write", "share"]
WebappTarget = Literal["blank", "iframe"]
Words = Annotated[tuple[StrictStr, ...], Field(strict=False, max_length=64)]
AccessTypes = Annotated[tuple[AccessType, ...], Field(strict=False, min_length=1, max_length=64, alias="accessTypes")]


class _Details(WireModel):
    """The details of one protocol."""

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, value: Any) -> Any:
        if isinstance(value, dict) and None in value.values():
            return {name: item for name, item in value.items() if item is not None}
        return value


class WebdavProtocol(_Details):
    """`protocol.webdav`. An empty `uri` means the sender's WebDAV root itself (mixed form only)."""

    uri: Annotated[StrictStr, Field(max_length=8192), AfterValidator(_webdav_uri)]
    shared_secret: Secret = Field(alias="sharedSecret", repr=False)
    access_types: AccessTypes = (registries.REMOTE,)
    permissions: Annotated[tuple[WebdavPermission, ...], Field(strict=False, min_length=1, max_length=64)] = (registries.READ,)
    requirements: Words = ()
    size: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None


class WebappProtocol(_Details):
    """`protocol.webapp`."""

    uri: Annotated[Uri, AfterValidator(_web_url)]
    shared_secret: Secret = Field(alias="sharedSecret", repr=False)
    targets: Annotated[tuple[WebappTarget, ...], Field(strict=False, min_length=1, max_length=64)]
    permissions: Annotated[tuple[WebappPermission, ...], Field(strict=False, min_length=1, max_length=64)]
    requirements: Words
    app_name: StrictStr | None = Field(None, alias="appName")
    app_icon_hint: StrictStr | None = Field(None, alias="appIconHint")
    media_types: Words = Field((), alias="mediaTypes")

    @field_validator("requirements")
    @classmethod
    def _exchanges(cls, requirements: tuple[str, ...]) -> tuple[str, ...]:
        # "The requirements MUST at least include must-exchange-token."
        if registries.MUST_EXCHANGE_TOKEN not in requirements:
            raise _refuse("must hold must-exchange-token")
        return requirements


class SshProtocol(_Details):
    """`protocol.ssh`; `uri` is `user@host:port/path`."""

    uri: Annotated[StrictStr, Field(max_length=8192, pattern=r"^[^@:/\s\x00-\x1f\x7f]+@[^@/\s\x00-\x1f\x7f]+/[^\x00-\x1f\x7f]*$")]
    access_types: AccessTypes = (registries.REMOTE,)


class LegacyOptions(_Details):
    """`protocol.options`, deprecated: the shared secret, and words of deployed servers that are kept."""

    shared_secret: Secret | None = Field(None, alias="sharedSecret", repr=False)


class ShareProtocols(WireModel):
    """The ways to reach a shared Resource; `raw` is the object as received."""

    name: StrictStr
    options: LegacyOptions | None = Field(None, repr=False)
    webdav: WebdavProtocol | None = None
    webapp: WebappProtocol | None = None
    ssh: SshProtocol | None = None
    raw: Mapping[str, Any] = Field(default_factory=dict, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _one_form(cls, value: Any) -> Any:
        return _normalised(value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _is_usable(self) -> Self:
        if self.webdav is None and self.legacy_secret is None and self.name == registries.WEBDAV:
            raise PydanticCustomError("ocm", "holds no sharedSecret")
        if self.webdav and self.webapp and set(self.webdav.requirements) != set(self.webapp.requirements):
            # "the requirements for the different protocols MUST agree"
            raise PydanticCustomError("ocm", "holds requirements of webdav and webapp that do not agree")
        return self

    @property
    def legacy_secret(self) -> str | None:
        """The secret of the deprecated form, where that form is all there is for webdav."""
        if self.webdav is not None or self.options is None or self.name not in (registries.WEBDAV, registries.MULTI):
            return None
        return self.options.shared_secret

    @property
    def shared_secret(self) -> str | None:
        """The one secret of the share: that of webdav in either form, else that of webapp."""
        if self.webdav is not None:
            return self.webdav.shared_secret
        return self.legacy_secret or (self.webapp.shared_secret if self.webapp is not None else None)

    @property
    def offered(self) -> frozenset[str]:
        """The names of all protocols offered, known to us or not."""
        names = {name for name, details in self.raw.items() if name not in ("name", "options") and isinstance(details, dict)}
        return frozenset(names | ({self.name} if self.options is not None and self.name != registries.MULTI else set()))

    @property
    def readable(self) -> frozenset[str]:
        """The names of the protocols offered in a form that we can read."""
        details = {registries.WEBDAV: self.webdav or self.legacy_secret, registries.WEBAPP: self.webapp, registries.SSH: self.ssh}
        return frozenset(name for name, found in details.items() if found is not None)

    @property
    def permissions(self) -> tuple[str, ...]:
        """What webdav grants. The deprecated form does not say, and its servers mean all but re-sharing."""
        if self.webdav is not None:
            return self.webdav.permissions
        return () if self.legacy_secret is None else (registries.READ, registries.WRITE)

    @property
    def requirements(self) -> frozenset[str]:
        """The requirements of all protocols offered."""
        return frozenset(word for details in (self.webdav, self.webapp) if details is not None for word in details.requirements)


def parse_protocols(value: Mapping[str, Any]) -> ShareProtocols:
    """Read a `protocol` object; raises `InvalidMessage`, its faults named from `protocol.` on."""
    try:
        return validated(ShareProtocols, value)
    except InvalidMessage as error:
        faults = (FieldFault(f"protocol.{f.name}" if f.name else "protocol", f.message) for f in error.validation_errors)
        raise InvalidMessage(tuple(faults)) from None


def build_protocols(
    *, webdav: WebdavProtocol | None = None, webapp: WebappProtocol | None = None, ssh: SshProtocol | None = None
) -> dict[str, Any]:
    """Build a `protocol` object in its multi form; raises `InvalidInput` (protocol-invalid, secret-in-uri)."""
    details = {registries.WEBDAV: webdav, registries.WEBAPP: webapp, registries.SSH: ssh}
    offered = {name: _written(model) for name, model in details.items() if model is not None}
    if not offered:
        raise InvalidInput("A share needs at least one protocol.", code="protocol-invalid")
    if any(model is not None and model.shared_secret in model.uri for model in (webdav, webapp)):
        raise InvalidInput("A shared secret must not stand in a URI.", code="secret-in-uri")
    if webdav is not None and webapp is not None and set(webdav.requirements) != set(webapp.requirements):
        raise InvalidInput("The requirements of webdav and webapp must agree.", code="protocol-invalid")
    return {"name": registries.MULTI, **offered}


def build_legacy_protocols(shared_secret: str) -> dict[str, Any]:
    """Build a `protocol` object in the deprecated form, for peers that take no other."""
    return {"name": registries.WEBDAV, "options": {"sharedSecret": shared_secret, "permissions": LEGACY_PERMISSIONS}}


def _written(model: WireModel) -> dict[str, Any]:
    details = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {name: value for name, value in details.items() if value != []}


def _normalised(value: dict[str, Any]) -> dict[str, Any]:
    """Bring the forms of deployed servers into one; the values themselves are judged later."""
    protocol = {**value, "raw": value}
    options, webdav = value.get("options"), value.get(registries.WEBDAV)
    if options == []:
        protocol["options"] = options = None
    if isinstance(webdav, dict):
        protocol[registries.WEBDAV] = _normalised_webdav(webdav, options if isinstance(options, dict) else {})
    if value.get("name") is None and any(isinstance(value.get(n), dict) for n in ("webdav", "webapp", "ssh")):
        protocol["name"] = registries.MULTI
    return protocol


def _normalised_webdav(details: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any] | None:
    if not details and options:
        return None
    changes: dict[str, Any] = {}
    if details.get("uri") is None and isinstance(details.get("url"), str):
        changes["uri"] = details["url"]
    if details.get("sharedSecret") is None and options.get("sharedSecret") is not None:
        changes["sharedSecret"] = options["sharedSecret"]
    return {**details, **changes} if changes else details
