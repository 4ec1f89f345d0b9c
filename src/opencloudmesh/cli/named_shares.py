"""Which share a person means: an id, or a name that fits one share only.

An id always wins. Among shares of the same name those in the states that the command works on are meant first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from opencloudmesh.cli.client import ApiClient
from opencloudmesh.protocol.errors import Conflict, NotFound

_MOST_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class ShareList:
    """One list of shares of the API, the fields that name a share in it, and the command that shows it.

    `living` are the states of shares that are in force, `listed` those that the command shows when it is not asked for all;
    `apart` asks for those that are not in the list until they are accepted; `untold` are the states in which the other server may
    have refused to hear of one.
    """

    route: str
    fields: tuple[str, ...]
    command: str
    living: tuple[str, ...]
    listed: tuple[str, ...]
    apart: Mapping[str, str] = field(default_factory=dict)
    untold: tuple[str, ...] = ()


OUTGOING: Final = ShareList(
    "/shares",
    ("name", "path"),
    "ocm shares",
    ("pending", "sent", "accepted"),
    ("pending", "sent", "accepted", "declined", "failed"),
    untold=("pending", "sent", "failed"),
)
INCOMING: Final = ShareList(
    "/inbox", ("name", "path"), "ocm inbox", ("pending", "accepted"), ("pending", "accepted"), {"unknown": "true"}
)


async def find_share(
    api: ApiClient, shares: ShareList, word: str, *, states: Sequence[str], others: list[str] | None = None
) -> str:
    """Return the id of the share that `word` names; raises NotFound (share-unknown) or Conflict (share-ambiguous).

    `others` gets the ids of listed shares with this name that were not meant, because of their states.
    """
    items = await api.items(shares.route)
    if any(str(item.get("id")) == word for item in items):
        return word
    named = [item for item in items if _is_named(item, shares, word)]
    listed = [item for item in named if item.get("state") in shares.listed]
    meant = [item for item in named if item.get("state") in states] or listed
    if others is not None:
        others += [str(item.get("id")) for item in listed if item not in meant]
    if not meant and shares.apart:
        kept_apart = await api.items(shares.route, query=shares.apart)
        meant = [item for item in kept_apart if str(item.get("id")) == word]
        if not meant and (strange := [item for item in kept_apart if _is_named(item, shares, word)]):
            raise _of_strangers(strange, shares, word)
    meant = meant or named
    if not meant:
        apart = f"; of unknown senders: {shares.command} --unknown" if shares.apart else ""
        raise NotFound(f'There is no share "{word}".', code="share-unknown", hint=f"See: {shares.command}{apart}")
    if len(meant) > 1:
        ids = ", ".join(str(item.get("id")) for item in meant)
        sentence = f'"{word}" is the name of {len(meant)} shares: {ids}.'
        raise Conflict(sentence, code="share-ambiguous", hint=f"Give the id; see: {shares.command}")
    return str(meant[0].get("id"))


def _of_strangers(items: Sequence[Mapping[str, Any]], shares: ShareList, word: str) -> NotFound:
    """A share of an unknown sender is meant by its id only: a stranger could name it as somebody else's."""
    named = ", ".join(f"{item.get('id')} (from {item.get('sender')})" for item in items[:_MOST_NAMED])
    sentence = f'There is no share "{word}" of anybody you know; of unknown senders there is: {named}.'
    hint = f"If you know who it is, name it by its id: {items[0].get('id')}. See: {shares.command} --unknown"
    return NotFound(sentence, code="share-unknown", hint=hint)


def _is_named(item: Mapping[str, Any], shares: ShareList, word: str) -> bool:
    names = [item[field] for field in shares.fields if isinstance(item.get(field), str)]
    # The last part of the place under "Shared with me" is a name too.
    return any(word in (name, name.rpartition("/")[2]) or word.strip("/") == name for name in names)
