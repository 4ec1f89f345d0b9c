"""Exchanges with other servers, as the exchange log keeps them."""

from dataclasses import dataclass

_TEXTS = ("peer", "url", "detail", "request_headers", "request_body", "answer_headers", "answer_body", "diagnosis")
_ROW_BYTES = 200


@dataclass(frozen=True, slots=True)
class Exchange:
    """One exchange with a peer, as the exchange log keeps it: every text is redacted before it gets here.

    `direction` is "in" or "out"; `status` is 0 where there was no answer, then `reason` says why; `duration` in seconds;
    headers are lines of "name: value". `verified`: the peer has shown that it is `peer`; else `peer` is what the request said of
    itself. `source` is the address that a request came from. `diagnosis` is JSON, see `exchanges.explaining`.
    """

    at: float
    direction: str
    peer: str
    method: str
    url: str
    status: int
    duration: float
    reason: str = ""
    detail: str = ""
    trace_id: str = ""
    request_headers: str = ""
    request_body: str = ""
    answer_headers: str = ""
    answer_body: str = ""
    verified: bool = False
    source: str = ""
    diagnosis: str = ""
    id: int = 0

    @property
    def stored_bytes(self) -> int:
        """About how many bytes its row takes."""
        texts = (getattr(self, name) for name in _TEXTS)
        return _ROW_BYTES + sum(len(text.encode("utf-8", "replace")) for text in texts)

    @property
    def failed(self) -> bool:
        return bool(self.reason) or self.status == 0 or self.status >= 400


@dataclass(frozen=True, slots=True)
class ExchangeFilter:
    """Which exchanges to find; what is None or empty does not matter. `before_id`, `after_id`: of the log's own order."""

    peer: str = ""
    since: float | None = None
    until: float | None = None
    trace_id: str = ""
    direction: str = ""
    failed: bool = False
    reason: str = ""
    before_id: int | None = None
    after_id: int | None = None
