"""JSContact cards (RFC 9553) with `ietf.org:ocmAddresses` (section IANA: JSContact; CARD-1)."""

import json
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from opencloudmesh.protocol.contacts.cards import Card, CardFile, Person, card_invalid, read_each
from opencloudmesh.protocol.errors import InvalidInput

OCM_ADDRESSES: Final = "ietf.org:ocmAddresses"
_SOURCES: Final = {"invite": "invite", "share": "share", "direct": "direct entry"}
"""The words of the registry "JSContact Enum Values" by ours."""


def parse_jscontact(text: str) -> CardFile:
    """Read a card, or an array of cards; raises `InvalidInput` (cards-invalid) for what is no JSON."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidInput(
            f"The file is no JSON that can be read{where}.", code="cards-invalid", hint="Export it once more; it may be cut off."
        ) from None
    return read_each(document if isinstance(document, list) else [document], _person)


def _person(card: Any) -> Person:
    if not isinstance(card, dict):
        raise card_invalid("is no JSON object")
    if card.get("@type", "Card") != "Card":
        raise card_invalid("is no JSContact card: its @type is another one")
    emails = [one["address"] for one in _values(card, "emails") if isinstance(one.get("address"), str)]
    addresses = [_address(one) for one in _values(card, OCM_ADDRESSES)]
    return Person(_name(card.get("name")), emails[0] if emails else "", tuple(addresses))


def _values(card: dict[str, Any], property_name: str) -> list[dict[str, Any]]:
    """The values of a map of objects, in their order."""
    found = card.get(property_name)
    if found is None:
        return []
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise card_invalid(f"has {property_name} that are no map of objects")
    return list(found.values())


def _address(one: dict[str, Any]) -> str:
    address = one.get("address")
    if not isinstance(address, str):
        raise card_invalid(f"has one of {OCM_ADDRESSES} without an address")
    return address


def _name(name: Any) -> str:
    if not isinstance(name, dict):
        return ""
    full, components = name.get("full"), name.get("components")
    if isinstance(full, str):
        return full
    parts = components if isinstance(components, list) else []
    values = (part.get("value") for part in parts if isinstance(part, dict) and part.get("kind") != "separator")
    return " ".join(value for value in values if isinstance(value, str))


def build_jscontact(cards: Iterable[Card]) -> bytes:
    """Write an array of cards."""
    return json.dumps([_card(card) for card in cards], indent=1, ensure_ascii=False).encode("utf-8", "replace")


def _card(card: Card) -> dict[str, Any]:
    source = _SOURCES.get(card.source, card.source)
    addresses = {
        f"ocm{number or ''}": {"@type": "ocmAddress", "address": str(address), "trusted": card.trusted, "source": source}
        for number, address in enumerate(card.addresses)
    }
    document: dict[str, Any] = {
        "@type": "Card",
        "version": "1.0",
        "uid": uid_of(card),
        "created": datetime.fromtimestamp(card.added_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        OCM_ADDRESSES: addresses,
    }
    if card.name:
        document["name"] = {"full": card.name}
    if card.email:
        document["emails"] = {"email": {"address": card.email}}
    return document


def uid_of(card: Card) -> str:
    """The same for the same address, whoever exports it and when."""
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'ocm:{card.address}')}"
