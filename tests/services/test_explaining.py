"""Why a signature was refused, in words for the operator."""

import json
from dataclasses import replace

import pytest

from opencloudmesh.protocol.errors import SignatureRefused, TokenRefused
from opencloudmesh.protocol.http_signatures import Request
from opencloudmesh.services.exchanges.explaining import diagnosis_of, kept, read, sentence_of
from opencloudmesh.services.peers import Peers
from tests.services.world import SimulatedServer


async def explained(peers: Peers, away: SimulatedServer, request: Request) -> str:
    """The sentence after all the way through the log."""
    with pytest.raises(SignatureRefused) as raised:
        await peers.verify(request, away.host)
    return sentence_of(read(kept(diagnosis_of(raised.value))))


@pytest.mark.parametrize(
    ("arrived", "told"),
    [
        ("http://home.example/ocm/shares", "It was signed for https://home.example/ocm/shares, and here that is http://"),
        ("https://home.example:8443/ocm/shares", "compare `origin`"),
        ("https://home.example/ocm/shares/", "A reverse proxy changes paths"),
        ("https://home.example/ocm/shares?", "A reverse proxy changes paths"),
    ],
)
async def test_an_address_that_was_changed_is_named(peers: Peers, away: SimulatedServer, arrived: str, told: str) -> None:
    assert told in await explained(peers, away, replace(away.share(), target_uri=arrived))


async def test_what_was_changed_in_the_body_is_named(peers: Peers, away: SimulatedServer) -> None:
    request = away.share()
    longer = await explained(peers, away, replace(request, body=request.body + b" "))
    assert longer.startswith(f"It says that its body has {len(request.body)} bytes, and {len(request.body) + 1} arrived")
    other = replace(request, body=request.body.replace(b"photos", b"fotos."))
    assert (await explained(peers, away, other)).startswith("The body is not the one that was signed: signed was sha-256=:")


async def test_a_changed_header_is_not_guessed(peers: Peers, away: SimulatedServer) -> None:
    request = away.share()
    headers = tuple((name, "Mon, 02 Feb 2026 02:40:00 GMT" if name == "date" else value) for name, value in request.headers)
    assert "another header that it covers" in await explained(peers, away, replace(request, headers=headers))


async def test_what_is_not_covered_is_named(peers: Peers, away: SimulatedServer) -> None:
    request = away.share()
    headers = tuple((name, value.replace(' "date"', "")) for name, value in request.headers if name != "date")
    told = await explained(peers, away, replace(request, headers=headers))
    assert told in ("", "It does not cover what draft-05 asks for: date.") or "draft-07" in told or "another header" in told


def test_words_for_every_difference() -> None:
    def told(component: str, expected: str, received: str) -> str:
        return sentence_of({"differs": {"component": component, "expected": expected, "received": received}})

    assert told("@method", "post", "POST") == "It was signed as post, and POST arrived."
    assert told("@target-uri", "/ocm/shares", "https://a.example/ocm/shares").endswith("another form of the address.")
    assert told("@target-uri", "https://[", "https://a.example/").endswith("another form of the address.")
    assert told("date", "a", "b") == "It was signed with date: a, and b arrived."
    assert sentence_of({"profile": "draft-05", "missing": ["date", ";created"]}).endswith("asks for: date, ;created.")
    assert sentence_of({}) == sentence_of({"code": "sig-replay"}) == ""


def test_a_refused_token_request_is_explained_by_its_cause() -> None:
    refused = SignatureRefused("No.", code="sig-mismatch")
    refused.examine = lambda: {"label": "ocm"}
    answered = TokenRefused("invalid_client", "No.")
    answered.__cause__ = refused
    assert read(kept(diagnosis_of(answered)))["label"] == "ocm"
    assert diagnosis_of(TokenRefused("invalid_client", "No.")) is None
    assert diagnosis_of(SignatureRefused("No.")) is None


def test_what_strangers_write_is_cut_and_what_fails_is_left_out() -> None:
    text = kept(lambda: {"base": ["x" * 5000] * 100, "label": "y" * 600, "differs": {"component": "z" * 600}})
    assert json.loads(text) == {"cut": True}
    assert len(read(kept(lambda: {"label": "y" * 600}))["label"]) == 512

    def broken() -> dict[str, str]:
        raise ValueError("a bug")

    assert kept(broken) == kept(None) == kept(lambda: {"a": object()}) == ""
    assert read("") == read("[]") == {}
