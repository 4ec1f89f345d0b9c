"""Low looks at the network for the doctor: `services.doctor.NetworkProbe` on sockets (design decision 10).

Rules kept here: where a request of ours may not go, no connection is made (the same policies, checked at the very address);
where a certificate is not trusted it is looked at once more, and nothing is sent; every look ends within its time.
"""

import asyncio
import errno
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from yarl import URL

from opencloudmesh.adapters.http_connections import AddressInfo, NewSocket, open_socket, trust_of
from opencloudmesh.adapters.http_faults import code_of, code_of_connecting, unreachable
from opencloudmesh.adapters.http_ways import Way, admit
from opencloudmesh.adapters.routes import RoutePolicy, is_public
from opencloudmesh.protocol.errors import PeerUnreachable
from opencloudmesh.services.doctor.network import Certificate, HostAddress, TlsLook

_SECONDS: Final = 4.0
_FAMILIES: Final = {4: "IPv4", 6: "IPv6"}
_NO_WAY: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


class SocketProbe:
    """Implements `NetworkProbe`; `new_socket` is what stands between a permitted address and the network."""

    def __init__(
        self, routes: Sequence[RoutePolicy] = (), *, new_socket: NewSocket | None = None, seconds: float = _SECONDS
    ) -> None:
        self._routes = tuple(routes)
        self._new_socket = new_socket or open_socket
        self._seconds = seconds

    async def addresses(self, origin: str) -> Sequence[HostAddress]:
        """All addresses that the system's resolver gives for the name, in its order."""
        target, way = admit(origin, self._routes)
        try:
            async with asyncio.timeout(self._seconds):
                found = await _resolve(target.raw_host or "", target.port or 0)
        except (OSError, UnicodeError):  # TimeoutError is one
            raise unreachable("dns", str(target.host)) from None
        texts = dict.fromkeys(str(info[4][0]).partition("%")[0] for info in found)
        return [_described(text, way) for text in texts]

    async def connect(self, origin: str, address: HostAddress) -> float:
        """Seconds until TCP was there."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        (await self._connected(origin, address)).close()
        return loop.time() - began

    async def handshake(self, origin: str, address: HostAddress) -> TlsLook:
        """One handshake as our requests make it; if the certificate fails it, a second one to see that certificate."""
        target, way = admit(origin, self._routes)
        context = trust_of(way.route)
        try:
            return await self._look(target, address, context, "")
        except (ssl.SSLCertVerificationError, ssl.CertificateError) as error:
            fault = code_of(error)
        except (OSError, ValueError) as error:
            raise _no_tls(error, address) from None
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            return await self._look(target, address, context, fault)
        except (OSError, ValueError) as error:
            raise _no_tls(error, address) from None

    async def _look(self, target: URL, address: HostAddress, context: ssl.SSLContext, fault: str) -> TlsLook:
        connection = await self._connected(str(target.origin()), address)
        with _closing(connection):
            async with asyncio.timeout(self._seconds):
                _, writer = await asyncio.open_connection(sock=connection, ssl=context, server_hostname=target.raw_host)
        try:
            tls = writer.get_extra_info("ssl_object")
            chain = _sent_chain(tls)
            certificate = _certificate(x509.load_der_x509_certificate(tls.getpeercert(binary_form=True)))
            return TlsLook(tls.version() or "", fault, len(chain) if chain is not None else None, certificate)
        finally:
            writer.transport.abort()

    async def _connected(self, origin: str, address: HostAddress) -> socket.socket:
        target, way = admit(origin, self._routes)
        ip = ip_address(address.text)
        if not way.admits(ip):
            raise unreachable("address-refused", address.text)
        family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
        place: Any = (address.text, target.port or 0) if ip.version == 4 else (address.text, target.port or 0, 0, 0)
        info: AddressInfo = (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place)
        try:
            made = self._new_socket(info)
        except OSError as error:
            raise _no_connection(error, address) from None
        try:
            made.setblocking(False)
            async with asyncio.timeout(self._seconds):
                await asyncio.get_running_loop().sock_connect(made, place)
        except OSError as error:
            made.close()
            raise _no_connection(error, address) from None
        except BaseException:
            made.close()
            raise
        return made


@contextmanager
def _closing(connection: socket.socket) -> Iterator[None]:
    """Close it where it did not become a transport's."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


async def _resolve(host: str, port: int) -> list[AddressInfo]:
    """Resolve in a thread that nobody waits for at the end: a resolver may hang for longer than we do."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[list[AddressInfo]] = loop.create_future()

    def settle(found: Any, error: Exception | None) -> None:
        if not done.done():
            if error is None:
                done.set_result(found)
            else:
                done.set_exception(error)

    def work() -> None:
        found: Any = None
        fault: Exception | None = None
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            fault = error
        try:
            loop.call_soon_threadsafe(settle, found, fault)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    threading.Thread(target=work, name="doctor: dns", daemon=True).start()
    return await done


def _described(text: str, way: Way) -> HostAddress:
    ip = ip_address(text)
    by_policy = way.route is not None and way.route.admits(ip)
    name = way.route.name if way.route is not None and by_policy else ""
    return HostAddress(text, _FAMILIES[ip.version], is_public(ip), way.admits(ip), name)


def _no_connection(error: OSError, address: HostAddress) -> PeerUnreachable:
    if isinstance(error, TimeoutError) and error.errno is None:
        return unreachable("tcp-timeout", address.text)
    if error.errno in _NO_WAY:
        return PeerUnreachable(f"this machine has no way to {address.text}", code="tcp-no-route")
    return unreachable(code_of_connecting(error), address.text)


def _no_tls(error: Exception, address: HostAddress) -> PeerUnreachable:
    if isinstance(error, PeerUnreachable):
        return error
    code = code_of(error)
    return unreachable("tls" if code == "connection-lost" else code, address.text)  # many servers break off without a word


# ---------------------------------------------------------------- certificates
def _sent_chain(tls: Any) -> list[Any] | None:
    """The certificates that the server sent; before Python 3.13 only the inner object tells them."""
    teller = getattr(tls, "get_unverified_chain", None) or getattr(getattr(tls, "_sslobj", None), "get_unverified_chain", None)
    return list(teller() or ()) if teller is not None else None


def _certificate(found: x509.Certificate) -> Certificate:
    return Certificate(
        subject=_name(found.subject),
        names=_names(found),
        issuer=_name(found.issuer),
        begins_at=found.not_valid_before_utc.timestamp(),
        ends_at=found.not_valid_after_utc.timestamp(),
        self_signed=_is_self_signed(found),
        key=_key(found),
    )


def _is_self_signed(found: x509.Certificate) -> bool:
    if found.subject.public_bytes() != found.issuer.public_bytes():
        return False
    try:
        found.verify_directly_issued_by(found)
    except Exception:  # whatever does not verify was not signed by itself
        return False
    return True


def _name(name: x509.Name) -> str:
    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        if found := name.get_attributes_for_oid(kind):
            return str(found[0].value)
    return name.rfc4514_string()


def _names(found: x509.Certificate) -> tuple[str, ...]:
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    dns = names.get_values_for_type(x509.DNSName)
    return (*dns, *(str(ip) for ip in names.get_values_for_type(x509.IPAddress)))


def _key(found: x509.Certificate) -> str:
    try:
        key = found.public_key()
    except Exception:
        return "unknown"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    return type(key).__name__.lstrip("_").removesuffix("PublicKey")
