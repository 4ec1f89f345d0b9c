"""The user's address book (section Addition into address books)."""

from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from opencloudmesh.protocol.invite_flow import LONGEST_EMAIL, LONGEST_NAME
from opencloudmesh.services import records
from opencloudmesh.web.user_api.access import ACT, BODY, ONE, READ, CurrentUser, Services, errors
from opencloudmesh.web.user_api.services import UserServices
from opencloudmesh.web.user_api.values import (
    MAX_PAGE,
    TRUE_OR_FALSE,
    AddressText,
    After,
    Id,
    Limit,
    Taken,
    Time,
    next_after,
    text,
)

router = APIRouter(tags=["contacts"])

Name = Annotated[str, text(0, LONGEST_NAME)]
Email = Annotated[str, text(0, LONGEST_EMAIL)]


class NewContact(Taken):
    """Somebody at another server."""

    address: AddressText
    name: Name = ""
    email: Email = ""
    trusted: bool = False


class ContactChange(Taken):
    """What is to change; what is left out stays."""

    name: Name | None = None
    email: Email | None = None
    trusted: bool | None = None


class ContactAnswer(BaseModel):
    """Somebody at another server; a name and an e-mail address are what that server, or the user, says."""

    id: int
    address: str
    name: str
    email: str
    source: str = Field(description="How the contact came about: invite, share or direct.")
    trusted: bool = Field(description="Shares of this contact are accepted without asking.")
    verified: bool = Field(description="The contact's own server has signed an acceptance or a share of this address.")
    added_at: Time
    last_seen_at: Time | None
    aliases: list[str] = Field(description="Further addresses of the same person at the same server.")
    verified_aliases: list[str] = Field(description="Those of them of which the contact's own server has signed something.")
    server: str = Field(description="The name of the contact's server as a Directory Service has it, or empty.")

    @classmethod
    def of(cls, one: records.Contact, services: UserServices) -> Self:
        return cls(
            id=one.id,
            address=one.address,
            name=one.name,
            email=one.email,
            source=one.source,
            trusted=one.trusted,
            verified=one.verified,
            added_at=one.added_at,
            last_seen_at=one.last_seen_at,
            aliases=list(one.aliases),
            verified_aliases=list(one.verified_aliases),
            server=services.contacts.server_name(one),
        )


class ContactList(BaseModel):
    """A page of contacts; `next` is the `after` of the next page, null also for a search."""

    items: list[ContactAnswer]
    next: int | None


Search = Annotated[
    Annotated[str, text(1, LONGEST_NAME)] | None,
    Query(description="Only those whose name, address or e-mail address holds this, by name."),
]


@router.get("/contacts", responses=READ, summary="My contacts")
async def contacts(
    user: CurrentUser, services: Services, after: After = 0, limit: Limit = MAX_PAGE, search: Search = None
) -> ContactList:
    if search is not None:
        found = await services.contacts.search(user, search, limit=limit)
        return ContactList(items=[ContactAnswer.of(one, services) for one in found], next=None)
    found = await services.contacts.of_user(user, after_id=after, limit=limit)
    return ContactList(items=[ContactAnswer.of(one, services) for one in found], next=next_after(found, limit))


@router.post("/contacts", status_code=201, responses=errors(*BODY, 409), summary="Add a contact")
async def add_contact(user: CurrentUser, services: Services, new: NewContact) -> ContactAnswer:
    made = await services.contacts.add(user, new.address, name=new.name, email=new.email, trusted=new.trusted)
    return ContactAnswer.of(made, services)


@router.get("/contacts/{contact_id}", responses=ONE, summary="A contact")
async def contact(user: CurrentUser, services: Services, contact_id: Id) -> ContactAnswer:
    return ContactAnswer.of(await services.contacts.contact(user, contact_id), services)


@router.post("/contacts/{contact_id}", responses=errors(*BODY, 404), summary="Change a contact")
async def change_contact(user: CurrentUser, services: Services, contact_id: Id, change: ContactChange) -> ContactAnswer:
    """Trust, or trust no longer; another name or e-mail address."""
    changed = await services.contacts.change(user, contact_id, name=change.name, email=change.email, trusted=change.trusted)
    return ContactAnswer.of(changed, services)


@router.post("/contacts/{contact_id}/merge/{other_id}", responses=ACT, summary="Make one contact of two")
async def merge_contacts(user: CurrentUser, services: Services, contact_id: Id, other_id: Id) -> ContactAnswer:
    """The other's addresses become further ones of this contact, which stays trusted, or not, as it was."""
    return ContactAnswer.of(await services.contacts.merge(user, contact_id, other_id), services)


Notify = Annotated[
    bool, TRUE_OR_FALSE, Query(description="Tell the contact's server (USER_REMOVED), and end all shares with the contact.")
]


@router.delete("/contacts/{contact_id}", responses=ONE, summary="Remove a contact")
async def remove_contact(user: CurrentUser, services: Services, contact_id: Id, notify: Notify = False) -> ContactAnswer:
    """Without `notify` nobody else is told, and shares given and received stay as they are."""
    return ContactAnswer.of(await services.contact_removal.remove(user, contact_id, notify=notify), services)


class NoticeAnswer(BaseModel):
    """Something that happened, of which the user is told until it is put away."""

    id: int
    kind: str = Field(
        description="user-removed: the contact removed the user, and was removed here, with the shares between both; "
        "invite-accepted: somebody accepted an invite, and nothing is shared with this contact yet."
    )
    address: str
    name: str
    shares: int = Field(description="How many shares ended.")
    at: Time

    @classmethod
    def of(cls, one: records.Notice) -> Self:
        return cls(id=one.id, kind=one.kind, address=one.address, name=one.name, shares=one.shares, at=one.at)


class NoticeList(BaseModel):
    """All notices, newest first."""

    items: list[NoticeAnswer]


@router.get("/notices", responses=READ, summary="What happened to my contacts")
async def notices(user: CurrentUser, services: Services) -> NoticeList:
    return NoticeList(items=[NoticeAnswer.of(one) for one in await services.contact_removal.notices(user)])


@router.delete("/notices/{notice_id}", status_code=204, responses=ONE, summary="Put a notice away")
async def dismiss_notice(user: CurrentUser, services: Services, notice_id: Id) -> None:
    await services.contact_removal.dismiss(user, notice_id)
