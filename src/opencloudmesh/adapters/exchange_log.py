"""Every exchange with another server as one line of the log: method, URL, status, who signed, how authorised; never a secret."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import structlog

from opencloudmesh.protocol.errors import PeerUnreachable
from opencloudmesh.services.ports import HttpAnswer, HttpClient, HttpStream

_log = structlog.get_logger("exchange")


class LoggedHttpClient:
    """`HttpClient` that logs what passes through another one."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

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
        try:
            answer = await self._http.fetch(
                method, url, headers=headers, body=body, max_bytes=max_bytes, total_timeout=total_timeout
            )
        except PeerUnreachable as error:
            _note(method, url, headers, 0, error.code)
            raise
        _note(method, url, headers, answer.status, "")
        return answer

    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterator[bytes] = b"",
    ) -> AbstractAsyncContextManager[HttpStream]:
        return self._stream(method, url, headers, body)

    @asynccontextmanager
    async def _stream(
        self, method: str, url: str, headers: Mapping[str, str] | None, body: bytes | AsyncIterator[bytes]
    ) -> AsyncIterator[HttpStream]:
        try:
            async with self._http.stream(method, url, headers=headers, body=body) as answer:
                _note(method, url, headers, answer.status, "")
                yield answer
        except PeerUnreachable as error:
            _note(method, url, headers, 0, error.code)
            raise

    def origin_of(self, host: str) -> str:
        return self._http.origin_of(host)


def _note(method: str, url: str, headers: Mapping[str, str] | None, status: int, reason: str) -> None:
    sent = headers or {}
    _log.info(
        "exchange",
        direction="out",
        method=method,
        url=url,
        status=status,
        reason=reason,
        signed_by=_keyid(sent.get("signature-input", "")),
        authorization=sent.get("authorization", "").partition(" ")[0],
    )


def _keyid(signature_input: str) -> str:
    """The keyid that our own signer wrote."""
    return signature_input.partition('keyid="')[2].partition('"')[0]
