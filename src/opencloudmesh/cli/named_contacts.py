"""Which contact a person means, an id, an OCM Address or a name that fits one contact only; and how people are shown in lists.

Who sent a share chose the name under which its sender became a contact: such a name stands for a recipient only where the contact
is trusted.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from opencloudmesh.cli.client import ApiClient, item_path
from opencloudmesh.cli.formats import text_of
from opencloudmesh.protocol.errors import Conflict, NotFound

_LONGEST: Final = 255
_MOST_NAMED: Final = 10
_LIST: Final = "ocm contacts list"


async def address_of(api: ApiClient, word: str) -> str:
    """Return the OCM Address that a person means; raises NotFound (contact-unknown) or Conflict (recipient-ambiguous)."""
    return word.strip() if "@" in word else text_of(await _named(api, word, recipient=True), "address")


async def find_contact(api: ApiClient, word: str) -> dict[str, Any]:
    """Return the contact that `word` means, an id too; raises NotFound (contact-unknown), Conflict (contact-ambiguous)."""
    if word.isdecimal():
        return await api.call("GET", item_path("contacts", word))
    if "@" not in word:
        return await _named(api, word)
    wanted = word.strip()
    found = await _search(api, wanted.lower())
    for item in found:
        if wanted in _addresses(item):
            return item
    for item in found:  # only the host has no case, yet who is known by another case alone is meant
        if wanted.lower() in (address.lower() for address in _addresses(item)):
            return item
    raise NotFound(f"There is no contact {word}.", code="contact-unknown", hint=f"See: {_LIST}")


async def _named(api: ApiClient, word: str, *, recipient: bool = False) -> dict[str, Any]:
    wanted = word.strip().casefold()
    found = [item for item in await _search(api, wanted) if text_of(item, "name").strip().casefold() == wanted]
    meant = [item for item in found if not recipient or item.get("trusted") or item.get("source") != "share"]
    if len(meant) == 1:
        return meant[0]
    if meant:
        shown = "".join(f"\n  {text_of(item, 'id')}: {shown_contact(item)}" for item in meant[:_MOST_NAMED])
        rest = f"\n  and {len(meant) - _MOST_NAMED} more" if len(meant) > _MOST_NAMED else ""
        code = "recipient-ambiguous" if recipient else "contact-ambiguous"
        raise Conflict(
            f'"{word}" is the name of {len(meant)} contacts:{shown}{rest}',
            code=code,
            hint="Give the OCM Address of the one you mean.",
        )
    if found:
        sentence = f'Nobody but the sender of a share says that {text_of(found[0], "address")} is "{word}".'
        raise NotFound(sentence, code="contact-unknown", hint="Give the OCM Address if it is right, or trust the contact first.")
    raise NotFound(
        f'There is no contact named "{word}".',
        code="contact-unknown",
        hint=f"Give the OCM Address, such as bob@cloud.example.org, or see: {_LIST}",
    )


async def _search(api: ApiClient, wanted: str) -> list[dict[str, Any]]:
    return await api.items("/contacts", query={"search": wanted}) if 0 < len(wanted) <= _LONGEST and wanted.isprintable() else []


def _addresses(item: Mapping[str, Any]) -> list[str]:
    return [text_of(item, "address"), *(one for one in item.get("aliases") or () if isinstance(one, str))]


def shown_contact(item: Mapping[str, Any]) -> str:
    """A contact as one line."""
    name, address = text_of(item, "name"), text_of(item, "address")
    return f"{name} <{address}>" if name else address


async def people(api: ApiClient) -> Callable[[str], str]:
    """Ask for the address book; what is returned shows an OCM Address with the name that stands there."""
    names = {address: text_of(item, "name") for item in await api.items("/contacts") for address in _addresses(item)}
    return lambda address: shown_contact({"address": address, "name": names.get(address, "")})
