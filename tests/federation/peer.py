"""A simulated Sending or Receiving Server: signs what it sends, remembers what it is asked, and lies where a test wants it to.

It serves discovery and keys, admits shares and notifications, exchanges codes for tokens that really end, and shares files over
just enough WebDAV. `documents` and `answers` override whatever it would say.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from opencloudmesh.adapters.keys import create_signing_key, load_signing_key
from opencloudmesh.bootstrap import new_token
from opencloudmesh.protocol.code_flow import build_token_request
from opencloudmesh.protocol.discovery import OwnOffer, build_discovery
from opencloudmesh.protocol.http_signatures import Request, sign
from tests.federation.secrets_told import told
from tests.federation.wire import Answer, Headers, ask, free_port

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
_SECRET = re.compile(rb'"sharedSecret":"([^"]+)"')
DISCOVERY = "/.well-known/ocm"
KEYS = "/.well-known/jwks.json"
_CAPABILITIES = ("http-sig", "exchange-token", "notifications", "protocol-object")


@dataclass(frozen=True)
class Seen:
    """One request that the peer was asked; header names are lower-case."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    at: float

    def header(self, name: str) -> str:
        return dict(self.headers).get(name, "")

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, list[str]]:
        return parse_qs(self.body.decode(), keep_blank_values=True)


@dataclass
class SimulatedPeer:
    """Signs as `127.0.0.1:<port>` and serves what others need to verify that."""

    folder: Path
    port: int = 0
    token_seconds: float = 300.0
    files: dict[str, bytes] = field(default_factory=dict)
    """WebDAV: path below the origin -> content."""
    answers: dict[tuple[str, str], Answer | Callable[[Seen], Answer | None]] = field(default_factory=dict)
    """(method, path) -> what is answered in place of the usual."""
    requests: list[Seen] = field(default_factory=list)
    tokens: dict[str, float] = field(default_factory=dict)
    """Access tokens given out -> when they end."""
    basic_names: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.port = self.port or free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.origin = f"http://{self.host}"
        key = self.folder / "peer-signing.pem"
        if not key.exists():
            create_signing_key(key)
        self.signer = load_signing_key(key, self.host)
        self.documents: dict[str, Any] = {DISCOVERY: self.discovery(), KEYS: self.signer.public_jwks()}

    # ------------------------------------------------------------ serving
    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve until the context ends."""
        server = _Server(("127.0.0.1", self.port), _handler(self))
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def answer(self, seen: Seen) -> Answer:
        """What a request gets."""
        self.requests.append(seen)
        for secret in _SECRET.findall(seen.body) if seen.method == "POST" else ():
            told.add(secret.decode())
        other = self.answers.get((seen.method, seen.path))
        return (other(seen) if callable(other) else other) or self._usual(seen)

    def _usual(self, seen: Seen) -> Answer:
        if seen.method == "GET" and seen.path in self.documents:
            return json_answer(200, self.documents[seen.path])
        if seen.method == "POST" and seen.path.endswith("/shares"):
            return json_answer(201, {"recipientDisplayName": "Carol"})
        if seen.method == "POST" and seen.path.endswith("/notifications"):
            return json_answer(201, {})
        if (seen.method, seen.path) == ("POST", "/ocm/token"):
            return self._token()
        return self._dav(seen)

    def _token(self) -> Answer:
        token = told.new()
        self.tokens[token] = time.time() + self.token_seconds
        return json_answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": max(1, int(self.token_seconds))})

    def _dav(self, seen: Seen) -> Answer:
        path = unquote(seen.path)
        content = self.files.get(path.rstrip("/"))
        inside = [name for name in self.files if name.startswith(path.rstrip("/") + "/")]
        if content is None and not inside:
            return Answer(404)
        if not self._is_authorized(seen):
            return Answer(401, {"www-authenticate": "Bearer"})
        if seen.method in ("GET", "HEAD") and content is not None:
            return Answer(200, {"content-type": "application/octet-stream"}, content)
        return _multistatus(seen.path, content, inside) if seen.method == "PROPFIND" else Answer(405)

    def _is_authorized(self, seen: Seen) -> bool:
        scheme, _, value = seen.header("authorization").partition(" ")
        return (scheme == "Bearer" and self.tokens.get(value, 0.0) > time.time()) or value in self.basic_names

    # ------------------------------------------------------------ what it was asked
    def asked(self, method: str, path: str = "") -> list[Seen]:
        """The requests with this method whose path ends like that."""
        return [seen for seen in self.requests if seen.method == method and seen.path.endswith(path)]

    @property
    def shares(self) -> list[Any]:
        """The Share Creation Notifications received."""
        return [seen.json for seen in self.asked("POST", "/shares")]

    @property
    def notifications(self) -> list[Any]:
        return [seen.json for seen in self.asked("POST", "/notifications")]

    # ------------------------------------------------------------ what it says
    def discovery(
        self, *, capabilities: Sequence[str] = _CAPABILITIES, criteria: Sequence[str] = (), **changes: Any
    ) -> dict[str, Any]:
        """A discovery document of this peer."""
        offer = OwnOffer(origin=self.origin, provider="peer", capabilities=tuple(capabilities), criteria=tuple(criteria))
        return build_discovery(offer) | changes

    def introduce(self, **changes: Any) -> None:
        """Publish another discovery document."""
        self.documents[DISCOVERY] = self.discovery(**changes)

    def share(self, recipient: str, *, provider_id: str | None = None, **changes: Any) -> dict[str, Any]:
        """A Share Creation Notification; a change to None leaves the field out."""
        provider_id = provider_id or new_token()
        message: dict[str, Any] = {
            "shareWith": recipient,
            "name": f"measurements {provider_id[:12]}.csv",
            "providerId": provider_id,
            "owner": f"carol@{self.host}",
            "sender": f"carol@{self.host}",
            "shareType": "user",
            "resourceType": "file",
            "protocol": {"name": "multi", "webdav": self.webdav(provider_id)},
            **changes,
        }
        return {name: value for name, value in message.items() if value is not None}

    def webdav(self, provider_id: str, **changes: Any) -> dict[str, Any]:
        """The webdav details of a share."""
        details = {
            "uri": f"{self.origin}/dav/ocm/{provider_id}",
            "sharedSecret": told.new(),
            "permissions": ["read"],
            "requirements": ["must-exchange-token"],
            **changes,
        }
        return {name: value for name, value in details.items() if value is not None}

    def signed(
        self,
        url: str,
        content_type: str,
        body: bytes,
        *,
        created: float | None = None,
        signer: Any = None,
        keyid: str | None = None,
    ) -> list[tuple[str, str]]:
        """The headers of a signed POST."""
        signer = signer or self.signer
        own = (("content-type", content_type),)
        added = sign(
            Request("POST", url, own, body),
            keyid=keyid or signer.keyid,
            algorithm=signer.algorithm,
            sign=signer.sign,
            created=int(time.time() if created is None else created),
            nonce=new_token(),
        )
        return [*own, *added]

    def post(self, origin: str, path: str, message: Any, *, content_type: str = JSON, **how: Any) -> Answer:
        """Send a signed message: a dict as JSON, bytes as they are."""
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        return ask(origin, "POST", path, self.signed(f"{origin}{path}", content_type, body, **how), body)

    def notify(self, origin: str, kind: str, provider_id: str, **how: Any) -> Answer:
        """Send a signed notification."""
        message = {"notificationType": kind, "providerId": provider_id, "resourceType": "file"}
        return self.post(origin, "/ocm/notifications", message, **how)

    def request_token(self, origin: str, code: str, *, client_id: str | None = None, **how: Any) -> Answer:
        """Send a signed token request."""
        body = build_token_request(code, client_id or self.host)
        return self.post(origin, "/ocm/token", body, content_type=FORM, **how)

    def access_token(self, origin: str, code: str) -> str:
        """Exchange a code that must be good."""
        answer = self.request_token(origin, code)
        assert answer.status == 200, answer
        return told.add(str(answer.json["access_token"]))


def unsigned(headers: Headers) -> list[tuple[str, str]]:
    """Headers without those that make a signature."""
    return [(name, value) for name, value in headers if name not in ("signature", "signature-input")]


def json_answer(status: int, document: Any) -> Answer:
    return Answer(status, {"content-type": JSON}, json.dumps(document).encode())


def _multistatus(path: str, content: bytes | None, inside: Sequence[str]) -> Answer:
    """One response for the resource, and one for each file directly inside of it."""
    root = path.rstrip("/")
    entries = [(root + ("" if content is not None else "/"), content)]
    entries += [(f"{root}/{quote(name[len(unquote(root)) + 1 :])}", b"") for name in inside]
    text = "".join(_response(href, size) for href, size in entries)
    return Answer(
        207,
        {"content-type": "application/xml; charset=utf-8"},
        f'<?xml version="1.0"?><d:multistatus xmlns:d="DAV:">{text}</d:multistatus>'.encode(),
    )


def _response(href: str, content: bytes | None) -> str:
    kind = "<d:resourcetype><d:collection/></d:resourcetype>" if content is None else "<d:resourcetype/>"
    size = "" if content is None else f"<d:getcontentlength>{len(content)}</d:getcontentlength>"
    return (
        f"<d:response><d:href>{href}</d:href><d:propstat><d:prop>{kind}{size}</d:prop>"
        "<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
    )


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


def _handler(peer: SimulatedPeer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = tuple((name.lower(), value) for name, value in self.headers.items())
            answer = peer.answer(Seen(self.command, self.path, headers, body, time.time()))
            self.send_response(answer.status)
            for name, value in ({"content-length": str(len(answer.body))} | answer.headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_POST = do_PUT = do_PROPFIND = do_DELETE = do_MKCOL = do_MOVE = do_COPY = do_OPTIONS = _serve

        def log_message(self, *args: object) -> None:
            pass

    return Handler
