"""litmus, against real servers: a user's own files, a share as its Receiving Server sees it, and as its recipient does."""

from pathlib import Path

import pytest

from tests.federation.peer import SimulatedPeer
from tests.federation.site import PASSWORD, Site, User
from tests.federation.wire import wait_until
from tests.litmus import LITMUS, SUITES, Outcome, assert_complete, read_litmus, run_litmus

needs_litmus = pytest.mark.skipif(LITMUS is None, reason="litmus (a Debian package) is not installed")


@needs_litmus
def test_the_users_own_files(site: Site, alice: User, place: str, tmp_path: Path) -> None:
    alice.make_folder(place)
    assert_complete(run_litmus(f"{site.origin}/dav/files/alice/{place}/", "alice", PASSWORD, folder=tmp_path))


@needs_litmus
def test_a_share_as_the_other_server_sees_it(site: Site, alice: User, peer: SimulatedPeer, place: str, tmp_path: Path) -> None:
    alice.make_folder(place)
    peer.introduce(capabilities=("http-sig", "notifications", "protocol-object"))
    alice.share(place, f"carol@{peer.host}", ("read", "write"))
    webdav = peer.shares[0]["protocol"]["webdav"]
    assert "must-exchange-token" not in webdav.get("requirements", ())
    assert_complete(run_litmus(f"{webdav['uri']}/", webdav["sharedSecret"], "none", folder=tmp_path))


@needs_litmus
def test_a_received_share_as_its_recipient_sees_it(bob: User, erin: User, place: str, tmp_path: Path) -> None:
    """Through our own client to the other server, which gives tokens of one second."""
    erin.make_folder(place)
    share = erin.share(place, bob.address, ("read", "write"))
    path = wait_until(lambda: bob.received(share["provider_id"])) and bob.answer("accept", share["provider_id"])["path"]
    assert_complete(run_litmus(f"{bob.site.origin}/dav/files/bob/{path}/", "bob", PASSWORD, folder=tmp_path))
    assert {one.name for one in (erin.site.files_of("erin") / place).iterdir()} == {"litmus"}


# ---------------------------------------------------------------- what it says is read
SAID = """-> running `basic':
 0. init..................  0. init.................. pass
 9. delete_fragment....... WARNING: DELETE removed collection resource
    ...................... pass (with 1 warning)
<- summary for `basic': of 2 tests run: 2 passed, 0 failed. 100.0%
-> 1 warning was issued.
-> running `http':
 2. expect100.............  2. expect100............. FAIL (timeout)
<- summary for `http': of 1 tests run: 0 passed, 1 failed. 0.0%
"""


def test_nothing_that_litmus_says_is_overlooked() -> None:
    outcome = read_litmus(SAID)
    assert (outcome.run, outcome.passed) == ({"basic": 2, "http": 1}, {"basic": 2, "http": 0})
    assert len(outcome.remarks) == 4
    everything = Outcome(SUITES, SUITES, (), "")
    assert_complete(everything)
    for worse in (
        Outcome(SUITES, SUITES, ("WARNING: no",), ""),
        Outcome(SUITES, {**SUITES, "locks": 40}, (), ""),
        Outcome({**SUITES, "locks": 40}, SUITES, (), ""),
        Outcome({}, {}, (), ""),
    ):
        with pytest.raises(AssertionError):
            assert_complete(worse)
