"""A Sending or Receiving Server as small as can be: discovery and keys for our server to fetch, and signed messages."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.load import http_request
from opencloudmesh.adapters.keys import create_signing_key, load_signing_key
from opencloudmesh.bootstrap import new_token
from opencloudmesh.protocol.address import parse_address
from opencloudmesh.protocol.code_flow import build_token_request
from opencloudmesh.protocol.discovery import OwnOffer, build_discovery
from opencloudmesh.protocol.http_signatures import Request, sign
from opencloudmesh.protocol.share_creation import build_share_creation
from opencloudmesh.protocol.share_protocols import WebdavProtocol, build_protocols


class SimulatedPeer:
    """Signs as `127.0.0.1:<port>` and serves what others need to verify that."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self.host = f"127.0.0.1:{port}"
        self.origin = f"http://{self.host}"
        self.shares: list[dict] = []
        key = folder / "peer-signing.pem"
        if not key.exists():
            create_signing_key(key)
        self.signer = load_signing_key(key, self.host)

    def signed(self, origin: str, path: str, content_type: str, body: bytes) -> bytes:
        """A signed POST as bytes for the load generator."""
        added = sign(
            Request("POST", f"{origin}{path}", (("content-type", content_type),), body),
            keyid=self.signer.keyid,
            algorithm=self.signer.algorithm,
            sign=self.signer.sign,
            created=int(time.time()),
            nonce=new_token(),
        )
        host = origin.partition("://")[2]
        return http_request("POST", path, host, [("content-type", content_type), *added], body)

    def share_creation(self, origin: str, recipient: str) -> bytes:
        """One signed Share Creation Notification with a providerId of its own."""
        provider_id = new_token()
        sender = parse_address(f"alice@{self.host}")
        webdav = WebdavProtocol(
            uri=f"{self.origin}/dav/ocm/{provider_id}", shared_secret=new_token(), permissions=("read", "write"), requirements=()
        )
        body = build_share_creation(
            share_with=parse_address(recipient),
            name=f"measurements {provider_id[:12]}.csv",
            provider_id=provider_id,
            owner=sender,
            sender=sender,
            resource_type="file",
            protocol=build_protocols(webdav=webdav),
        )
        return self.signed(origin, "/ocm/shares", "application/json", body)

    def token_request(self, origin: str, secret: str) -> bytes:
        """One signed token request."""
        return self.signed(origin, "/ocm/token", "application/x-www-form-urlencoded", build_token_request(secret, self.host))

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve discovery and keys, and admit every share, until the context ends."""
        documents = {
            "/.well-known/ocm": build_discovery(
                OwnOffer(
                    origin=self.origin, provider="peer", capabilities=("http-sig", "exchange-token", "notifications"), criteria=()
                )
            ),
            "/.well-known/jwks.json": self.signer.public_jwks(),
        }
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                document = documents.get(self.path)
                self._answer(200 if document else 404, document or {})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                if self.path == "/ocm/shares":
                    peer.shares.append(json.loads(body))
                self._answer(201, {"recipientDisplayName": "Bob"})

            def _answer(self, status: int, document: object) -> None:
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
