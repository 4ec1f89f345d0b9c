"""The Share Creation Notification and its answer (section Share Creation Notification).

Rules kept here: shareWith, name, providerId, owner, sender, shareType, resourceType and protocol are there and well-formed, else
every fault is named; must-exchange-token is on a share exactly when the receiver can exchange, and a receiver that demands it
gets no other. Dialects understood: integer providerId, sharedBy for sender, expiration 0, addresses with scheme or path.

A field of ours, `senderAlsoKnownAs`, is the OCM Address by which the recipient's server was told of the sender before (userID of
an invite, INV-7), where the sender's own is another. Whoever signs for the sender signs for it: it counts at the same host only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, StrictStr, field_validator
from pydantic_core import PydanticCustomError

from opencloudmesh.protocol import registries
from opencloudmesh.protocol.address import MAX_ADDRESS, OCMAddress, parse_address
from opencloudmesh.protocol.discovery import Discovery
from opencloudmesh.protocol.errors import InvalidInput, InvalidMessage
from opencloudmesh.protocol.legacy.addresses import repair_address
from opencloudmesh.protocol.messages import WireModel, has_control_characters, read_object, validated, write_object
from opencloudmesh.protocol.share_protocols import ShareProtocols

LAST_EXPIRATION: Final = 253402300799
"""The last second of the year 9999."""
MAX_NAME_BYTES: Final = 255
_KNOWN_AS: Final = "senderAlsoKnownAs"


@lru_cache(maxsize=1024)
def address_of(text: str) -> OCMAddress:
    """Read an address that stood in a message, in whatever dialect; raises `InvalidInput`."""
    try:
        return parse_address(text)
    except InvalidInput:
        return repair_address(text)


def _is_address(text: str) -> str:
    try:
        address_of(text)
    except InvalidInput as error:
        raise PydanticCustomError("ocm", "{reason}", {"reason": error.sentence}) from None
    return text


def _plain(text: str) -> str:
    if has_control_characters(text):
        raise PydanticCustomError("ocm", "must not hold control characters")
    return text


Address = Annotated[StrictStr, Field(min_length=1, max_length=MAX_ADDRESS), AfterValidator(_is_address)]
Word = Annotated[StrictStr, Field(min_length=1, max_length=255), AfterValidator(_plain)]
ProviderId = Annotated[StrictStr, Field(min_length=1, max_length=1024), AfterValidator(_plain)]


class ShareCreationNotification(WireModel):
    """A share offered by another server. Texts are as received; read, its addresses are `recipient`, `owner_address` ..."""

    share_with: Address = Field(alias="shareWith")
    name: Annotated[StrictStr, Field(min_length=1), AfterValidator(_plain)]
    provider_id: ProviderId = Field(alias="providerId")
    owner: Address
    sender: Address
    share_type: Word = Field(alias="shareType")
    resource_type: Word = Field(alias="resourceType")
    protocol: ShareProtocols
    description: StrictStr = ""
    owner_display_name: StrictStr = Field("", alias="ownerDisplayName")
    sender_display_name: StrictStr = Field("", alias="senderDisplayName")
    expiration: Annotated[int, Field(ge=1, le=LAST_EXPIRATION)] | None = None

    @field_validator("name")
    @classmethod
    def _is_file_name(cls, name: str) -> str:
        if "/" in name or name in (".", ".."):
            raise PydanticCustomError("ocm", "must be a file name without a path")
        if len(name.encode()) > MAX_NAME_BYTES:
            raise PydanticCustomError("ocm", "must not be longer than 255 bytes")
        return name

    @property
    def recipient(self) -> OCMAddress:
        return address_of(self.share_with)

    @property
    def owner_address(self) -> OCMAddress:
        return address_of(self.owner)

    @property
    def sender_address(self) -> OCMAddress:
        return address_of(self.sender)

    @property
    def sender_known_as(self) -> OCMAddress | None:
        """Another address of the sender at the same server, as that server says; None where it says none that can be one."""
        text = (self.model_extra or {}).get(_KNOWN_AS)
        try:
            address = parse_address(text) if isinstance(text, str) else None
        except InvalidInput:
            return None
        sender = self.sender_address
        return address if address is not None and address.host == sender.host and address != sender else None


@dataclass(frozen=True, slots=True)
class ShareCreationAnswer:
    """What the Receiving Server tells of the recipient; `raw` is its whole answer."""

    recipient_display_name: str = ""
    recipient_user_id: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


def parse_share_creation(body: bytes) -> ShareCreationNotification:
    """Read a Share Creation Notification; raises `InvalidMessage` (400) naming every fault."""
    return validated(ShareCreationNotification, _normalised(read_object(body)))


def build_share_creation(
    *,
    share_with: OCMAddress,
    name: str,
    provider_id: str,
    owner: OCMAddress,
    sender: OCMAddress,
    resource_type: str,
    protocol: Mapping[str, Any],
    share_type: str = registries.USER,
    description: str = "",
    owner_display_name: str = "",
    sender_display_name: str = "",
    expiration: int | None = None,
    sender_known_as: OCMAddress | None = None,
) -> bytes:
    """Build a notification; `protocol` comes from `build_protocols`. `sharedBy` repeats the sender for older peers."""
    sender_name = sender_display_name or sender.identifier
    message: dict[str, Any] = {
        "shareWith": str(share_with),
        "name": name,
        "description": description,
        "providerId": provider_id,
        "owner": str(owner),
        "ownerDisplayName": owner_display_name or owner.identifier,
        "sender": str(sender),
        "senderDisplayName": sender_name,
        "sharedBy": str(sender),
        "sharedByDisplayName": sender_name,
        "shareType": share_type,
        "resourceType": resource_type,
        "protocol": protocol,
    }
    if expiration is not None:
        message["expiration"] = expiration
    if sender_known_as is not None:
        message[_KNOWN_AS] = str(sender_known_as)
    return write_object(message)


def build_share_creation_answer(recipient_display_name: str, recipient_user_id: str) -> dict[str, Any]:
    """Build the body of our 201."""
    return {"recipientDisplayName": recipient_display_name, "recipientUserId": recipient_user_id}


def parse_share_creation_answer(body: bytes) -> ShareCreationAnswer:
    """Read the body of a peer's success; never fails, for deployed servers send `[]`, `{}` or nothing."""
    try:
        raw = read_object(body)
    except InvalidMessage:
        return ShareCreationAnswer()
    return ShareCreationAnswer(_text(raw.get("recipientDisplayName")), _text(raw.get("recipientUserId")), raw)


def choose_requirements(receiver: Discovery, sender_offers_exchange: bool, *, use_mfa: bool = False) -> tuple[str, ...]:
    """Choose the requirements of a share for this receiver; raises `InvalidInput` (exchange-not-offered, mfa-not-enforced)."""
    if receiver.requires(registries.MUST_EXCHANGE_TOKEN) and not sender_offers_exchange:
        raise InvalidInput(
            "The other server takes only shares with token exchange, and this server does not offer it.",
            code="exchange-not-offered",
            hint="Ask the operator of this server to turn token exchange on.",
        )
    if use_mfa and not receiver.supports(registries.ENFORCE_MFA):
        raise InvalidInput("The other server cannot ask its users for a second factor.", code="mfa-not-enforced")
    can_exchange = receiver.supports(registries.EXCHANGE_TOKEN) or receiver.requires(registries.MUST_EXCHANGE_TOKEN)
    exchange = (registries.MUST_EXCHANGE_TOKEN,) if sender_offers_exchange and can_exchange else ()
    return (*exchange, registries.MUST_USE_MFA) if use_mfa else exchange


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _normalised(raw: dict[str, Any]) -> dict[str, Any]:
    """Bring the dialects of deployed servers into one; the values themselves are judged later."""
    message = {name: value for name, value in raw.items() if value is not None}
    if message.get("expiration") == 0:
        del message["expiration"]
    provider_id = message.get("providerId")
    if isinstance(provider_id, int) and not isinstance(provider_id, bool):
        message["providerId"] = str(provider_id)
    if message.get("sender") in (None, ""):
        _take_sender(message)
    for role in ("owner", "sender"):
        if not message.get(f"{role}DisplayName"):
            message[f"{role}DisplayName"] = _identifier(message.get(role))
    return message


def _take_sender(message: dict[str, Any]) -> None:
    source = "sharedBy" if message.get("sharedBy") else "owner"
    if message.get(source):
        message["sender"] = message[source]
        message["senderDisplayName"] = message.get("senderDisplayName") or message.get(f"{source}DisplayName", "")


def _identifier(address: Any) -> str:
    if not isinstance(address, str) or len(address) > MAX_ADDRESS:
        return ""
    try:
        return address_of(address).identifier
    except InvalidInput:
        return ""
