"""A running server in the mode `federation` follows what a command beside it read of the directory."""

import json
from collections.abc import Callable, Iterator

import pytest

from tests.federation.conftest import MakePeer
from tests.federation.peer import SimulatedPeer
from tests.federation.site import Site, User
from tests.federation.wire import wait_until
from tests.services.test_directories import KEY
from tests.signed_list import ListServer


@pytest.fixture
def listed() -> Iterator[ListServer]:
    """A web server with a signed list."""
    with ListServer().serving() as server:
        yield server


def offered(peer: SimulatedPeer, user: User) -> int:
    return peer.post(user.site.origin, "/ocm/shares", peer.share(user.address)).status


@pytest.mark.spec("DIR-3")
def test_a_member_that_was_removed_is_refused_as_soon_as_a_command_has_seen_it(
    start_site: Callable[..., Site], listed: ListServer, make_peer: MakePeer
) -> None:
    peer = make_peer()
    listed.publish(peer.host, "127.0.0.1:9")

    def kind(*given: object) -> Site:
        site = Site(*given)  # type: ignore[arg-type]
        site.route += f'[[directories]]\nurl = "{listed.url}"\nkeys_file = "list.jwk"\n'
        site.folder.mkdir(parents=True)
        (site.folder / "list.jwk").write_text(json.dumps(KEY.as_dict(private=False)))
        return site

    site = start_site("federated", ["alice"], {"mode": '"federation"'}, kind)
    alice = User(site, "alice")
    wait_until(lambda: offered(peer, alice) == 201)
    listed.publish("127.0.0.1:9")
    assert offered(peer, alice) == 201, "nobody has looked yet"
    (item,) = json.loads(site.ocm("directory", "list", "--refresh", "--json", "--dir", str(site.folder)))["items"]
    assert (item["servers"], item["reason"]) == (1, "")
    wait_until(lambda: offered(peer, alice) == 403)  # its own timer would take an hour
