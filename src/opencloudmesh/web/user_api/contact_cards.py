"""The address book as a file, out and in (section IANA: JSContact)."""

from typing import Annotated, Final, Literal, Self

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from opencloudmesh.protocol.contacts import LARGEST_FILE
from opencloudmesh.services.contact_cards import Imported
from opencloudmesh.web.bodies import ClientGone, read_body
from opencloudmesh.web.user_api.access import BODY, READ, CurrentUser, Services, errors

router = APIRouter(tags=["contacts"])
PATH: Final = "/contact-cards"
IDLE_SECONDS: Final = 20.0
KINDS: Final = {
    "jscontact": ("application/jscontact+json", "contacts.json"),
    "vcard": ("text/vcard; charset=utf-8", "contacts.vcf"),
    "vcard4": ("text/vcard; charset=utf-8", "contacts.vcf"),
}
"""Media type and name of a file, by format."""
_CARDS: Final = {"application/jscontact+json": {"schema": {"type": ["array", "object"]}}}
_FILE: Final = {"content": {**_CARDS, "text/vcard": {"schema": {"type": "string"}}}}


class EntryFault(BaseModel):
    """An entry that was not taken: its number in the file, from 1, a name to find it by, and why."""

    number: int
    who: str
    code: str
    message: str


class ImportAnswer(BaseModel):
    """What became of a file."""

    added: int
    completed: int = Field(description="Were there, and got a name or an e-mail address that was missing.")
    known: int = Field(description="Were there already.")
    without_address: int = Field(description="People without an OCM Address, who are no contacts here.")
    refused: int
    faults: list[EntryFault] = Field(description="The first of those that were refused.")

    @classmethod
    def of(cls, one: Imported) -> Self:
        return cls(
            added=one.added,
            completed=one.completed,
            known=one.known,
            without_address=one.without_address,
            refused=one.refused,
            faults=[EntryFault(number=f.number, who=f.who, code=f.code, message=f.sentence) for f in one.faults],
        )


Format = Annotated[
    Literal["jscontact", "vcard", "vcard4"],
    Query(description="JSContact (RFC 9553), or vCard 3.0, which every address book reads, or 4.0."),
]


@router.get(
    PATH,
    responses=READ | {200: _FILE | {"description": "The file"}},
    response_class=Response,
    summary="My contacts as a file",
)
async def export(user: CurrentUser, services: Services, format: Format = "jscontact") -> Response:
    content = await services.contact_cards.export(user, format)
    kind, name = KINDS[format]
    return Response(content, media_type=kind, headers={"content-disposition": f'attachment; filename="{name}"'})


@router.post(
    PATH,
    responses=errors(*BODY),
    summary="Take the contacts of a file",
    openapi_extra={"requestBody": {"required": True, "content": _CARDS}},
)
async def import_cards(user: CurrentUser, services: Services, request: Request) -> ImportAnswer:
    """JSContact, or vCard (text/vcard), whichever it is. Nothing that is there is overwritten, and nobody is trusted for it."""
    try:
        data = await read_body(request.scope, request.receive, LARGEST_FILE, IDLE_SECONDS)
    except ClientGone:
        data = b""  # nobody hears the answer
    return ImportAnswer.of(await services.contact_cards.read_in(user, data))
