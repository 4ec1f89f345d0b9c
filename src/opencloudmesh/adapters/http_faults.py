"""One reason code for everything that can go wrong on the way to another server (design decision 10).

Rules: decided from types and numbers, never from texts; nothing of a request (headers, path) gets into a sentence.
"""

import errno
import socket
import ssl

import aiohttp
from aiohttp import http_exceptions

from opencloudmesh.protocol.errors import PeerUnreachable

ANSWER_TOO_LARGE = "answer-too-large"

_SENTENCES = {
    "dns": "the name {peer} was not found",
    "address-refused": "{peer} is at an address that this server does not connect to",
    "scheme-refused": "{peer} would be reached without TLS",
    "tcp-refused": "{peer} does not take connections",
    "tcp-timeout": "{peer} did not take a connection in time",
    "tls-untrusted": "{peer} shows a certificate that no trusted authority has signed",
    "tls-name": "{peer} shows a certificate of another name",
    "tls-expired": "{peer} shows a certificate that is out of date",
    "tls": "{peer} and this server found no way to speak TLS",
    "idle-timeout": "{peer} stopped answering",
    "connection-lost": "{peer} broke off, or did not speak HTTP",
    ANSWER_TOO_LARGE: "{peer} answered with more than is taken",
}
_HINTS = {
    "dns": "Check the spelling of the server's name.",
    "address-refused": "Check the server's name; if it is right, the operator of your server decides whether it may be reached.",
    "scheme-refused": "Check the server's name; if it is right, the operator of your server decides whether it may be reached.",
    "tls-untrusted": "Its operator has to repair that, or the operator of your server has to trust the authority.",
}
# <openssl/x509_vfy.h>
_VERIFY_CODES = {9: "tls-expired", 10: "tls-expired", 62: "tls-name", 64: "tls-name"}
_ERRNO_CODES = {
    errno.ETIMEDOUT: "tcp-timeout",
    errno.ECONNRESET: "connection-lost",
    errno.EPIPE: "connection-lost",
    errno.ECONNABORTED: "connection-lost",
}


_BEGAN = "{peer} began to answer, and did not come to the end in time"


class AddressRefused(OSError):
    """Raised instead of making a socket. All have one text, so that connecting to several addresses reports the type."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "address refused")


def unreachable(code: str, peer: str) -> PeerUnreachable:
    """Build the error for a code; `peer` is host and port."""
    return PeerUnreachable(_SENTENCES[code].format(peer=peer), code=code, hint=_HINTS.get(code, ""))


def unfinished(peer: str) -> PeerUnreachable:
    """Build the error for an answer that began and did not end in time (idle-timeout)."""
    return PeerUnreachable(_BEGAN.format(peer=peer), code="idle-timeout")


def code_of(error: Exception) -> str:
    """Tell the reason code of what aiohttp, ssl or the system raised."""
    match error:
        case aiohttp.ClientConnectorCertificateError(certificate_error=inner) if isinstance(inner, Exception):
            return code_of(inner)
        case ssl.SSLCertVerificationError():
            return _VERIFY_CODES.get(error.verify_code, "tls-untrusted")
        case aiohttp.ClientConnectorDNSError() | socket.gaierror():
            return "dns"
        case aiohttp.ConnectionTimeoutError():
            return "tcp-timeout"
        case TimeoutError() if error.errno is None:
            return "idle-timeout"
        case aiohttp.ClientConnectorSSLError() | ssl.SSLError():
            return "tls"
        case aiohttp.ClientConnectorError():
            return code_of_connecting(error.os_error)
        case _:
            return ANSWER_TOO_LARGE if _comes_of(error, http_exceptions.LineTooLong) else "connection-lost"


def code_of_connecting(error: OSError) -> str:
    """Tell the reason code of a connection that could not be made."""
    # Several addresses that failed differently come as one error without a number: none of them took a connection.
    if isinstance(error, AddressRefused):
        return "address-refused"
    return _ERRNO_CODES.get(error.errno or 0, "tcp-refused")


def _comes_of(error: BaseException | None, cause: type[Exception]) -> bool:
    while error is not None and not isinstance(error, cause):
        error = error.__cause__ or error.__context__
    return error is not None
