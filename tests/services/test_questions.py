"""Servers that refused us are asked whether they deal with us again, where both are silent."""

import pytest

from opencloudmesh.services.availability import Questions
from opencloudmesh.services.ports import HttpAnswer
from opencloudmesh.services.records import User
from tests.services.home import Home
from tests.services.world import SimulatedServer, answer, new_token

EVERY = 900.0
DENIED = answer(403, {"message": "policy-denied"})


@pytest.fixture
def questions(home: Home) -> Questions:
    return Questions(
        peers=home.peers,
        refusing=home.deliveries.refusing,
        on_answer=home.deliveries.peer_deals,
        clock=home.time,
        new_token=new_token,
        every=EVERY,
    )


async def refused(home: Home, away: SimulatedServer, alice: User) -> int:
    """A share that the other server refuses, as everything else."""
    says(away, DENIED)
    away.route("POST", "/ocm/shares", lambda _: DENIED)
    share, _ = await home.creation.create(alice, path="notes", share_with="dora@away.example")
    await home.settle()
    assert (await home.outgoing(share.id)).reason == "refused-by-peer"
    return share.id


def says(away: SimulatedServer, told: HttpAnswer) -> None:
    away.route("POST", "/ocm/notifications", lambda _: told)


async def passes(home: Home, questions: Questions, seconds: float) -> None:
    await home.advance(seconds)
    await questions.ask()
    await home.settle()


async def test_two_silent_servers_share_again_when_a_denial_ends(
    home: Home, away: SimulatedServer, alice: User, questions: Questions
) -> None:
    share = await refused(home, away, alice)
    await questions.ask()
    assert away.got("/ocm/notifications") == [], "not so soon"
    await passes(home, questions, EVERY)
    await passes(home, questions, EVERY)
    assert len(away.got("/ocm/notifications")) == 1, "and less often each time"
    assert len(away.got("/ocm/shares")) == 1
    says(away, answer(403, {"message": "not-a-party"}))
    away.route("POST", "/ocm/shares", lambda _: answer(201))
    await passes(home, questions, 2 * EVERY)
    assert (await home.outgoing(share)).state == "sent"
    asked = len(away.got("/ocm/notifications"))
    await passes(home, questions, 100 * EVERY)
    assert len(away.got("/ocm/notifications")) == asked, "who refuses nothing is not asked"


async def test_a_server_that_goes_on_to_refuse_is_asked_every_six_hours(
    home: Home, away: SimulatedServer, alice: User, questions: Questions
) -> None:
    await refused(home, away, alice)
    for _ in range(4 * 24 * 2):
        await passes(home, questions, EVERY)
    assert 8 <= len(away.got("/ocm/notifications")) <= 17
    assert len(away.got("/ocm/shares")) == 1


@pytest.mark.parametrize(
    ("told", "deals"),
    [
        (answer(201, {}), True),
        (answer(404, {"message": "RESOURCE_NOT_FOUND"}), True),
        (answer(501, b""), True),
        (answer(401, {"message": "sig-keys-unavailable"}), False),
        (answer(503, b""), False),
        (answer(404, b"<html>", content_type="text/html"), False),
    ],
    ids=lambda told: str(told.status) if isinstance(told, HttpAnswer) else "",
)
async def test_what_an_answer_tells(
    home: Home, away: SimulatedServer, alice: User, questions: Questions, told: HttpAnswer, deals: bool
) -> None:
    await refused(home, away, alice)
    await questions.ask()
    says(away, told)
    await passes(home, questions, EVERY)
    assert len(away.got("/ocm/shares")) == 1 + deals


async def test_a_command_that_it_answers_is_a_clear_sign(home: Home, away: SimulatedServer, alice: User) -> None:
    """In the server's own process, and beside it."""
    share = await refused(home, away, alice)
    for _ in range(6):
        home.deliveries.peer_seen("away.example")
        await home.settle()
        await home.advance(500.0)
    asked = len(away.got("/ocm/shares"))
    home.deliveries.peer_deals("away.example")
    await home.settle()
    assert len(away.got("/ocm/shares")) == asked + 1, "others were in vain for a long time"
    away.route("POST", "/ocm/shares", lambda _: answer(201))
    assert await home.deliveries.ask_again("away.example") == 1
    await home.advance(60.0)
    assert (await home.outgoing(share)).state == "sent"
    assert await home.deliveries.ask_again("away.example") == 0
