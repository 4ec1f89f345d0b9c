"""The one way to other servers."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Protocol, TypeVar

from opencloudmesh.protocol.errors import PeerRefused

T = TypeVar("T")


@dataclass(slots=True)
class Verdict:
    """Why an answer was of no use, though it came: known a moment after the exchange, and shown with it."""

    reason: str = ""
    detail: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A peer's whole answer. Header names are lower-case; of a repeated header the values are joined by ", "."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    verdict: Verdict = field(default_factory=Verdict, repr=False, compare=False)

    def read(self, parse: Callable[[bytes], T]) -> T:
        """What the body says; where it cannot be read, that is the verdict, and what `parse` raised is raised."""
        try:
            return parse(self.body)
        except PeerRefused as error:
            self.verdict.reason, self.verdict.detail = error.code, error.sentence
            raise

    def retry_after(self, now: float) -> float | None:
        """The seconds that `Retry-After` asks to wait, be they given as a number or as a date (RFC 9110, section 10.2.3)."""
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return float(text[:9])
        try:
            at = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now)

    @property
    def max_age(self) -> float | None:
        """The seconds for which `Cache-Control` lets us keep it (RFC 9111, section 5.2.2); None where it does not say."""
        wanted: dict[str, str] = {}
        for directive in self.headers.get("cache-control", "").lower().split(","):
            name, _, value = directive.partition("=")
            wanted.setdefault(name.strip(), value.strip().strip('"'))
        if "no-store" in wanted or "no-cache" in wanted:
            return 0.0
        age = _seconds(self.headers.get("age", "").strip()) or 0.0
        seconds = _seconds(wanted.get("max-age", ""))
        return None if seconds is None else max(0.0, seconds - age)


def _seconds(text: str) -> float | None:
    return float(text[:9]) if text.isascii() and text.isdigit() else None


class HttpStream(Protocol):
    """A peer's answer whose body is read as it comes."""

    status: int
    headers: Mapping[str, str]

    def chunks(self) -> AsyncIterator[bytes]: ...


class HttpClient(Protocol):
    """The only way out (design decision 10). All methods raise `PeerUnreachable`; none follows a redirect."""

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        max_bytes: int = 1 << 20,
        total_timeout: float = 20.0,
    ) -> HttpAnswer:
        """One exchange with a small answer, read whole."""

    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterator[bytes] = b"",
    ) -> AbstractAsyncContextManager[HttpStream]:
        """One exchange of any length, bounded by idle time-outs only."""

    def origin_of(self, host: str) -> str:
        """`https://host`, or `http://host` where a named route policy says so (DISC-10)."""
