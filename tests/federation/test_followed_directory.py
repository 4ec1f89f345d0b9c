"""A running server in the mode `federation` follows what a command beside it read of the directory."""

import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests.federation.conftest import MakePeer
from tests.federation.peer import SimulatedPeer
from tests.federation.site import Site, User
from tests.federation.wire import wait_until
from tests.services.test_directories import KEY, signed


@pytest.fixture
def listed() -> Iterator[ThreadingHTTPServer]:
    """A web server with the signed list that `body` holds."""

    class Listing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body: bytes = self.server.body  # type: ignore[attr-defined]
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listing)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def publish(directory: ThreadingHTTPServer, *hosts: str) -> None:
    servers = [{"url": f"http://{host}", "displayName": host} for host in hosts]
    directory.body = signed(servers=servers, iat=time.time())  # type: ignore[attr-defined]


def offered(peer: SimulatedPeer, user: User) -> int:
    return peer.post(user.site.origin, "/ocm/shares", peer.share(user.address)).status


@pytest.mark.spec("DIR-3")
def test_a_member_that_was_removed_is_refused_as_soon_as_a_command_has_seen_it(
    start_site: Callable[..., Site], listed: ThreadingHTTPServer, make_peer: MakePeer
) -> None:
    peer = make_peer()
    publish(listed, peer.host, "127.0.0.1:9")

    def kind(*given: object) -> Site:
        site = Site(*given)  # type: ignore[arg-type]
        url = f"http://127.0.0.1:{listed.server_port}/list"
        site.route += f'[[directories]]\nurl = "{url}"\nkeys_file = "list.jwk"\n'
        site.folder.mkdir(parents=True)
        (site.folder / "list.jwk").write_text(json.dumps(KEY.as_dict(private=False)))
        return site

    site = start_site("federated", ["alice"], {"mode": '"federation"'}, kind)
    alice = User(site, "alice")
    wait_until(lambda: offered(peer, alice) == 201)
    publish(listed, "127.0.0.1:9")
    assert offered(peer, alice) == 201, "nobody has looked yet"
    (item,) = json.loads(site.ocm("directory", "list", "--refresh", "--json", "--dir", str(site.folder)))["items"]
    assert (item["servers"], item["reason"]) == (1, "")
    wait_until(lambda: offered(peer, alice) == 403)  # its own timer would take an hour
