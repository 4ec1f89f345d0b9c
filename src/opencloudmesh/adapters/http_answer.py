"""The answer of another server: read whole, or as a stream."""

from collections.abc import AsyncIterator, Mapping

import aiohttp
from aiohttp.client_reqrep import ClientResponse

from opencloudmesh.adapters.http_body import Blocks, BodyReader
from opencloudmesh.adapters.http_faults import ANSWER_TOO_LARGE, code_of, unreachable
from opencloudmesh.adapters.http_ways import peer_of


class Stream:
    """An answer that is being read."""

    def __init__(self, answer: ClientResponse, peer: str, idle: float, blocks: Blocks) -> None:
        self.status = answer.status
        self.headers: Mapping[str, str] = joined(answer)
        self._answer = answer
        self._peer = peer
        self._idle = idle
        self._blocks = blocks
        self._rest: BodyReader | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            try:
                piece = await self._piece()
            except (aiohttp.ClientError, OSError) as error:
                raise unreachable(code_of(error), self._peer) from None
            if not piece:
                return
            yield piece

    async def _piece(self) -> bytes:
        if self._rest is None:
            if piece := self._answer.content.read_nowait():
                return piece
            self._rest = self._blocks.reader(self._answer)
        return await (self._answer.content.readany() if self._rest is None else self._rest.block(self._idle))

    def end(self) -> None:
        """Nobody reads any more: return the connection to the pool if the answer was read to its end, else close it."""
        if self._answer.content.at_eof() and not self._answer.content.exception():
            self._answer.release()
        else:
            self._answer.close()
        if self._rest is not None:
            self._rest = None
            self._blocks.free()


def joined(answer: ClientResponse) -> Mapping[str, str]:
    """Its header fields, by names in lower case."""
    names = dict.fromkeys(name.lower() for name in answer.headers)
    return {name: ", ".join(answer.headers.getall(name)) for name in names}


async def read_whole(answer: ClientResponse, max_bytes: int) -> bytes:
    """A short answer; raises `PeerUnreachable` (answer-too-large)."""
    received = bytearray()
    async for piece in answer.content.iter_any():
        received += piece
        if len(received) > max_bytes:
            answer.close()
            raise unreachable(ANSWER_TOO_LARGE, peer_of(answer.url))
    return bytes(received)
