"""The parts of a server's folder for a command beside the server, which may be running: nothing here answers HTTP."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from opencloudmesh.bootstrap.use_cases import UseCases
from opencloudmesh.config import load_settings
from opencloudmesh.protocol.discovery import OwnOffer
from opencloudmesh.protocol.legacy.cavage import build_public_key
from opencloudmesh.protocol.registries import (
    EXCHANGE_TOKEN,
    HTTP_SIG,
    INVITE_WAYF,
    INVITES,
    MUST_EXCHANGE_TOKEN,
    MUST_USE_HTTP_SIG,
    NOTIFICATIONS,
    PROTOCOL_OBJECT,
)
from opencloudmesh.services.delivery import EverybodysDeliveries
from opencloudmesh.services.peers import TrustBook


class Beside(UseCases):
    """The use cases, with the trust that is stored, and with an exchange log."""

    @property
    def offer(self) -> OwnOffer:
        """What discovery says of us: just what is switched on now."""
        criteria = {
            MUST_USE_HTTP_SIG: self.settings.signatures.required,
            MUST_EXCHANGE_TOKEN: self.settings.sharing.must_exchange_token,
        }
        key = self.cavage_key
        return OwnOffer(
            origin=self.settings.origin,
            provider=self.settings.provider,
            capabilities=(EXCHANGE_TOKEN, HTTP_SIG, INVITES, INVITE_WAYF, NOTIFICATIONS, PROTOCOL_OBJECT),
            invite_accept_dialog=f"{self.settings.origin}/invite/accept",
            public_key=build_public_key(key.keyid, key.public_key_pem) if key else None,
            criteria=(*(word for word, on in criteria.items() if on), *self.peers.trust.criteria),
        )

    @property
    def everybodys_deliveries(self) -> EverybodysDeliveries:
        self.deliveries.use(self.delivery_handlers)
        return EverybodysDeliveries(database=self.database, deliveries=self.deliveries)

    def note_exchanges(self) -> None:
        """Keep the exchange log until the stack is closed."""
        self._run_beside(self.exchanges.run(), "exchange log")

    async def load_trust(self) -> TrustBook:
        """Read what operators decided and who is a member of the federation, once."""
        await self.directories.load()
        return await self.trust_watch.load()

    def _run_beside(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run something until the stack is closed; what it was doing then is cut off, and waited for."""
        task = asyncio.create_task(work, name=name)

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._stack.push_async_callback(end)


@asynccontextmanager
async def beside(folder: Path) -> AsyncIterator[Beside]:
    """The parts of the server in `folder`, for an operator's command; the server may be running."""
    async with AsyncExitStack() as stack:
        yield Beside(load_settings(folder), stack, exclusive=False)
