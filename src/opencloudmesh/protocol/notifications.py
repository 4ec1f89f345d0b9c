"""Notifications about a share, or about a user (sections Share Acceptance Notification, Share Deletion).

Rules kept here: notificationType and providerId are there, resourceType and notification may be; unknown types are kept for the
service to answer. Deployed servers send an integer providerId, an empty list for an empty object, and the share's secret
in `notification`. A member of ours in it, `reason` with the value USER_REMOVED, says that a share ended because one of the two
removed the other from the contacts, of which a USER_REMOVED tells too, sooner or later.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, StrictStr

from opencloudmesh.protocol.address import OCMAddress, parse_address
from opencloudmesh.protocol.errors import FieldFault, InvalidInput, InvalidMessage
from opencloudmesh.protocol.legacy.addresses import repair_address
from opencloudmesh.protocol.messages import WireModel, read_object, validated, write_object
from opencloudmesh.protocol.registries import USER, USER_REMOVED
from opencloudmesh.protocol.share_creation import ProviderId, Word


class Notification(WireModel):
    """One notification; `notification` holds its further parameters as received."""

    notification_type: Word = Field(alias="notificationType")
    provider_id: ProviderId = Field(alias="providerId")
    resource_type: StrictStr = Field("", alias="resourceType", max_length=255)
    notification: dict[str, Any] = Field(default_factory=dict, repr=False)

    @property
    def shared_secret(self) -> str | None:
        """The share's secret, by which servers that do not sign bind a notification to a share (NOTIF-4)."""
        secret = self.notification.get("sharedSecret")
        return secret if isinstance(secret, str) and secret else None

    @property
    def ends_with_contact(self) -> bool:
        """Whether the share ended because of a removal."""
        return self.notification.get("reason") == USER_REMOVED

    def removal(self, host: str) -> "Removal | None":
        """What a USER_REMOVED of `host` says; None where no user of that server can be meant by it.

        providerId is what that server calls the one who removed (NOTIF-6: the identifier exchanged in the invite), and `user` in
        `notification`, which we send, the OCM Address of who was removed. Raises `InvalidMessage`.
        """
        if self.resource_type not in ("", USER):
            raise InvalidMessage((FieldFault("resourceType", "must be user"),))
        named = self.notification.get("user")
        try:
            removed = None if named is None else parse_address(named if isinstance(named, str) else "")
        except InvalidInput as error:
            raise InvalidMessage((FieldFault("notification.user", error.sentence),)) from None
        try:
            remover = repair_address(f"{self.provider_id}@{host}")
        except InvalidInput:
            return None
        return Removal(remover, removed) if remover.host == host else None


@dataclass(frozen=True, slots=True)
class Removal:
    """Who removed whom from the own contacts; whom, a server may leave out."""

    remover: OCMAddress
    removed: OCMAddress | None


def parse_notification(body: bytes) -> Notification:
    """Read a notification; raises `InvalidMessage` (400) naming every fault."""
    message = {name: value for name, value in read_object(body).items() if value is not None}
    provider_id = message.get("providerId")
    if isinstance(provider_id, int) and not isinstance(provider_id, bool):
        message["providerId"] = str(provider_id)
    if message.get("notification") == []:
        del message["notification"]
    return validated(Notification, message)


def build_notification(
    notification_type: str,
    provider_id: str,
    resource_type: str,
    details: Mapping[str, Any] | None = None,
    *,
    ends_with_contact: bool = False,
) -> bytes:
    """Build a notification; providerId and resourceType are copied from the share."""
    message: dict[str, Any] = {
        "notificationType": notification_type,
        "providerId": provider_id,
        "resourceType": resource_type,
    }
    if details or ends_with_contact:
        message["notification"] = {**(details or {}), **({"reason": USER_REMOVED} if ends_with_contact else {})}
    return write_object(message)


def build_removal(remover: str, removed: OCMAddress) -> bytes:
    """Build a USER_REMOVED: `remover` is what the other side knows our user by."""
    details = {"user": str(removed), "message": "The user removed this contact."}
    return build_notification(USER_REMOVED, remover, USER, details)
