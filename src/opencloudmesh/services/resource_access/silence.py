"""What an owner's server that does not answer means for what is remembered of its shares.

Rules kept here: a server that is silent, or fails by itself, takes nothing away of what was seen; one that refuses does. Of
one that does not deal with us nothing is shown, and nothing forgotten, for that may end. A server whose answer comes in is not
silent, however long the whole of it takes (design decision 13).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from opencloudmesh.protocol.errors import (
    AccessDenied,
    DeniedByPeer,
    GrantRefused,
    NotFound,
    OCMError,
    PeerRefused,
    PeerUnreachable,
)
from opencloudmesh.services.patience import within

SHOWN_AFTER: Final = 1.5
"""After so many seconds without an answer what is remembered is shown."""
_GIVEN_UP_AFTER: Final = 5.0
_REFUSALS: Final = frozenset({401, 403, 404, 410})
_SERVER_FAULT: Final = 500

T = TypeVar("T")


@dataclass(slots=True)
class Silence:
    """Whether this request is answered from memory: because that is of a moment ago (`is_recalled`), or because the owner's
    server does not answer (`is_found`)."""

    is_found: bool = False
    is_recalled: bool = False

    async def unless_found(self, ask: Callable[[], Awaitable[T]], otherwise: T) -> T:
        """What the owner's server says of something that is shown.

        `otherwise` where what is shown is from memory, and the server does not answer.
        """
        if self.is_found:
            return otherwise
        if not self.is_recalled:
            return await ask()
        try:
            async with within(SHOWN_AFTER, is_renewed=True) as limit:
                return await ask()
        except TimeoutError:
            if not limit.expired():
                raise
        except OCMError as error:
            if not is_silent(error):
                raise
        self.is_found = True
        return otherwise


class NotAsked:
    """Stands for all of a tree whose server is known to be away: whatever is asked of it fails at once."""

    def __init__(self, error: OCMError) -> None:
        self._error = error

    def __getattr__(self, name: str) -> object:
        raise self._error


async def soon(work: Awaitable[T], peer: str) -> T:
    """The answer to a question, if it begins soon and goes on coming; raises `PeerUnreachable` (idle-timeout)."""
    try:
        async with within(_GIVEN_UP_AFTER, is_renewed=True) as limit:
            return await work
    except TimeoutError:
        if not limit.expired():
            raise
        raise PeerUnreachable(f"{peer} did not answer in time.", code="idle-timeout") from None


def is_silent(error: OCMError) -> bool:
    """Whether the server did not answer, or said by a 5xx that it cannot."""
    if isinstance(error, PeerUnreachable):
        return not error.code.startswith("http-4") and error.code not in (GrantRefused.code, DeniedByPeer.code)
    return isinstance(error, PeerRefused) and error.status >= _SERVER_FAULT


def takes_away(error: OCMError) -> bool:
    """Whether the server refused: what was seen before is not shown any more."""
    if isinstance(error, DeniedByPeer):
        return False
    if isinstance(error, PeerRefused):
        return isinstance(error, GrantRefused) or error.status in _REFUSALS
    return isinstance(error, AccessDenied | NotFound)
