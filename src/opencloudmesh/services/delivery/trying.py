"""One try of a message: it is sent, what came of that is an `Outcome`, and that is written (see the package)."""

from dataclasses import replace

import structlog

from opencloudmesh.protocol.errors import LocalFault, PeerFault, PeerRefused, PeerUnreachable, TemporarilyUnavailable
from opencloudmesh.services.delivery.arrival import is_open_question
from opencloudmesh.services.delivery.denials import Handlers
from opencloudmesh.services.delivery.messages import Outcome, Overtaken, of_answer, of_refusal
from opencloudmesh.services.delivery.settling import Try
from opencloudmesh.services.patience import within
from opencloudmesh.services.ports import Clock, Database
from opencloudmesh.services.records import Delivery

_log = structlog.get_logger(__name__)

LEASE_SECONDS = 180.0
_TRY_SECONDS = 150.0  # shorter than its lease; longer than discovery and the message, each asked for twice
_FORBIDDEN_HERE = frozenset({"address-refused", "scheme-refused"})
"""What this server's own configuration does not allow: no later try could do better."""


class Tries:
    """Sends messages, and writes what came of it."""

    def __init__(self, *, database: Database, clock: Clock, handlers: Handlers) -> None:
        self._db = database
        self._clock = clock
        self._handlers = handlers

    async def send(self, delivery: Delivery) -> Outcome:
        """Send it once; never raises."""
        try:
            async with within(_TRY_SECONDS):
                outcome = await self._sent(delivery)
                if outcome.status == 409 and delivery.attempts:
                    outcome = await self._known_already(delivery, outcome)
        except TimeoutError:
            outcome = Outcome(reason="idle-timeout", detail="The try took longer than a try may.")
        except Exception as error:
            _log.exception("delivery-failed", delivery=delivery.id, peer=delivery.peer)
            outcome = Outcome(reason="internal", detail=type(error).__name__)
        return outcome

    async def _sent(self, delivery: Delivery) -> Outcome:
        try:
            answer = await self._handlers()[delivery.kind].send(delivery)
        except Overtaken as end:
            return Outcome(final=True, reason=end.code, detail=end.sentence)
        except PeerUnreachable as error:
            forbidden = error.code in _FORBIDDEN_HERE
            return Outcome(final=forbidden, reason=error.code, detail=error.sentence, is_down=not forbidden)
        except PeerRefused as error:
            return of_refusal(error)
        except TemporarilyUnavailable as error:  # our own database: no fault of the message
            return Outcome(reason=error.code, detail=error.sentence, retry_after=error.retry_after)
        except (LocalFault, PeerFault) as error:
            return Outcome(final=True, reason=error.code, detail=error.sentence)
        return of_answer(answer, self._clock())

    async def _known_already(self, delivery: Delivery, outcome: Outcome) -> Outcome:
        tries = await self._db.read(lambda tx: tx.deliveries.attempts(delivery.id))
        return replace(outcome, done=True) if is_open_question(tries) else outcome

    async def settle(self, tried: Try) -> None:
        """Write what a try came to; a handler that fails at it makes it a fault of ours, which is tried again later."""
        handler = self._handlers().get(tried.delivery.kind)
        try:
            await self._db.write(lambda tx: tried.settle(tx, handler))
        except TemporarilyUnavailable:
            raise
        except Exception as error:
            _log.exception("delivery-not-settled", delivery=tried.delivery.id, peer=tried.delivery.peer)
            fault = Outcome(reason="internal", detail=type(error).__name__)
            is_over = tried.delivery.expires_at <= tried.ended
            again = replace(tried, outcome=fault.at_the_end() if is_over else fault)
            await self._db.write(lambda tx: again.settle(tx, None))
