"""The simulated peer of the tests, with its signed messages as bytes for the load generator."""

import json

from benchmarks.load import http_request
from opencloudmesh.protocol.code_flow import build_token_request
from tests.federation.peer import FORM, JSON, SimulatedPeer


class LoadPeer(SimulatedPeer):
    """Makes signed requests without sending them."""

    def _request(self, origin: str, path: str, content_type: str, body: bytes) -> bytes:
        headers = self.signed(f"{origin}{path}", content_type, body)
        return http_request("POST", path, origin.partition("://")[2], headers, body)

    def share_creation(self, origin: str, recipient: str) -> bytes:
        """One signed Share Creation Notification with a providerId of its own."""
        return self._request(origin, "/ocm/shares", JSON, json.dumps(self.share(recipient)).encode())

    def token_request(self, origin: str, secret: str) -> bytes:
        """One signed token request."""
        return self._request(origin, "/ocm/token", FORM, build_token_request(secret, self.host))
