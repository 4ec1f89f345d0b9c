"""No feature that follows a host or URL of a stranger connects to a place that is not public, and each does follow a good one."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import count
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
import pytest_asyncio

from opencloudmesh.protocol.code_flow import FORM, build_token_request
from opencloudmesh.protocol.http_signatures import Request, sign
from tests.federation import led_beside
from tests.federation.guarded_internet import Home, home_in
from tests.federation.hostile_places import PLACES, Place
from tests.federation.led_beside import DISCOVERY, leave, receive, redirect
from tests.services.world import HOST, NOW, SimulatedServer, answer, new_token

Feature = Callable[[Home, SimulatedServer, Place], Awaitable[None]]
_numbers = count(1)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    """Our server for all tests here: every one of them leads it by peers of its own."""
    with pytest.MonkeyPatch.context() as patch:
        async with home_in(tmp_path_factory.mktemp("ssrf"), patch) as home:
            yield home


@pytest.fixture
def home(one_home: Home) -> Home:
    one_home.internet.breaches.clear()
    one_home.internet.allowed = frozenset().union(*(place.public for place in PLACES))  # deliveries are tried again at any time
    return one_home


# ---------------------------------------------------------------- what a server is led by
async def discover_what_a_user_types(home: Home, peer: SimulatedServer, place: Place) -> None:
    await home.api("GET", "/discover", query=f"host={quote(place.host)}")


async def discover_what_a_visitor_types(home: Home, peer: SimulatedServer, place: Place) -> None:
    assert (await home.visit("/wayf", {"token": "t", "server": place.host})).status in (200, 400)


async def share_with(home: Home, peer: SimulatedServer, place: Place) -> None:
    await home.api("POST", "/shares", {"path": "data", "share_with": f"bob@{place.host}"})


async def sender_of_a_share(home: Home, peer: SimulatedServer, place: Place) -> None:
    body = peer.share(f"alice@{HOST}").body.replace(f"dora@{peer.host}".encode(), _json(f"dora@{place.host}"))
    await home.hear(peer.signed("/ocm/shares", body))


async def keyid(home: Home, peer: SimulatedServer, place: Place) -> None:
    await home.hear(_signed_by(peer, peer.notification("SHARE_ACCEPTED", "p1"), f"{place.host}#key1"))


async def keyid_that_is_a_url(home: Home, peer: SimulatedServer, place: Place) -> None:
    await home.hear(_signed_by(peer, peer.notification("SHARE_UNSHARED", "p1"), f"{place.url}#key1"))


async def client_id(home: Home, peer: SimulatedServer, place: Place) -> None:
    await home.hear(peer.signed("/ocm/token", build_token_request("code", place.host), content_type=FORM))


async def redirect_of_discovery(home: Home, peer: SimulatedServer, place: Place) -> None:
    for path in DISCOVERY:
        peer.route("GET", path, lambda _: redirect(place.url))
    await home.api("GET", "/discover", query=f"host={peer.host}")
    assert home.asked(peer)


async def redirect_of_keys(home: Home, peer: SimulatedServer, place: Place) -> None:
    peer.route("GET", "/.well-known/jwks.json", lambda _: redirect(place.url))
    await home.hear(peer.share(f"alice@{HOST}"))
    assert home.asked(peer)


async def redirect_of_messages(home: Home, peer: SimulatedServer, place: Place) -> None:
    peer.route("POST", "/ocm/shares", lambda _: redirect(place.url))
    await home.api("POST", "/shares", {"path": "data", "share_with": f"bob@{peer.host}"})
    assert peer.got("/ocm/shares")


async def jwks_uri(home: Home, peer: SimulatedServer, place: Place) -> None:
    peer.route("GET", "/.well-known/jwks.json", lambda _: answer(404))
    peer.discovery["jwksUri"] = place.url
    await home.hear(peer.share(f"alice@{HOST}"))
    assert peer.fetched("/.well-known/ocm")


async def end_point(home: Home, peer: SimulatedServer, place: Place) -> None:
    peer.discovery["endPoint"] = place.url
    await home.api("POST", "/shares", {"path": "data", "share_with": f"bob@{peer.host}"})
    assert peer.fetched("/.well-known/ocm")


async def token_end_point(home: Home, peer: SimulatedServer, place: Place) -> None:
    peer.discovery["tokenEndPoint"] = place.url
    await _open_share(home, peer, f"{peer.origin}/dav/ocm/p1", requirements=["must-exchange-token"])


async def redirect_of_token_requests(home: Home, peer: SimulatedServer, place: Place) -> None:
    peer.route("POST", "/ocm/token", lambda _: redirect(place.url))
    await _open_share(home, peer, f"{peer.origin}/dav/ocm/p1", requirements=["must-exchange-token"])
    assert peer.got("/ocm/token")


async def webdav_uri(home: Home, peer: SimulatedServer, place: Place) -> None:
    await _open_share(home, peer, place.url)


async def webdav_path_of_discovery(home: Home, peer: SimulatedServer, place: Place) -> None:
    for kind in peer.discovery["resourceTypes"]:
        kind["protocols"]["webdav"] = place.url
    await _open_share(home, peer, "p1")


async def redirect_of_webdav(home: Home, peer: SimulatedServer, place: Place) -> None:
    for method in ("PROPFIND", "GET", "PUT"):
        for path in ("/dav/ocm/p1", "/dav/ocm/p1/", "/dav/ocm/p1/one.txt", "/dav/ocm/p1/two.txt"):
            peer.route(method, path, lambda _: redirect(place.url))
    await _open_share(home, peer, f"{peer.origin}/dav/ocm/p1")
    assert [asked for asked in home.asked(peer) if asked.method == "PROPFIND"]


async def href_of_a_listing(home: Home, peer: SimulatedServer, place: Place) -> None:
    entries = [("/dav/ocm/p1/", True), (place.url, False), (f"{place.url}/", True), ("/dav/ocm/p1/one.txt", False)]
    for path in ("/dav/ocm/p1", "/dav/ocm/p1/"):
        peer.route("PROPFIND", path, lambda _: answer(207, _multistatus(entries), content_type="application/xml"))
    await _open_share(home, peer, f"{peer.origin}/dav/ocm/p1")
    assert [asked for asked in home.asked(peer) if asked.method == "PROPFIND"]


FEATURES: tuple[tuple[Feature, str], ...] = (
    # what leads, and the path at which a good place of that kind is asked; empty where none is followed on purpose
    (led_beside.reconciliation, "/elsewhere"),
    (discover_what_a_user_types, "/.well-known/ocm"),
    (discover_what_a_visitor_types, "/.well-known/ocm"),
    (share_with, "/ocm/shares"),
    (sender_of_a_share, "/.well-known/jwks.json"),
    (keyid, "/.well-known/jwks.json"),
    (keyid_that_is_a_url, "/.well-known/jwks.json"),
    (client_id, "/.well-known/jwks.json"),
    (redirect_of_discovery, ""),
    (redirect_of_keys, ""),
    (redirect_of_messages, ""),
    (redirect_of_token_requests, ""),
    (redirect_of_webdav, ""),
    (jwks_uri, ""),  # only one of the same host is
    (end_point, "/elsewhere/shares"),
    (token_end_point, "/elsewhere"),
    (webdav_uri, "/elsewhere"),
    (webdav_path_of_discovery, "/elsewhere/p1"),
    (href_of_a_listing, ""),
    (led_beside.repair, "/elsewhere"),
    (led_beside.probe_of_availability, "/elsewhere"),
    (led_beside.redirect_of_discovery_in_a_probe, ""),
    (led_beside.redirect_of_a_directory, ""),
    (led_beside.entries_of_a_directory, ""),
    (led_beside.doctor_of_what_an_operator_types, "/.well-known/ocm"),
    (led_beside.doctor_of_documents, "/elsewhere"),
    (led_beside.doctor_of_redirects, ""),
    (led_beside.look_at_ourselves_by_documents, ""),
    (led_beside.look_at_ourselves_by_redirects, ""),
)


NAMING_HOSTS = frozenset(
    {
        discover_what_a_user_types,
        discover_what_a_visitor_types,
        share_with,
        sender_of_a_share,
        keyid,
        keyid_that_is_a_url,
        client_id,
        led_beside.reconciliation,
    }
)
TAKING_LONG = frozenset(
    {
        token_end_point,
        end_point,
        redirect_of_messages,
        redirect_of_token_requests,
        redirect_of_webdav,
        webdav_path_of_discovery,
        href_of_a_listing,
        led_beside.reconciliation,
        led_beside.redirect_of_discovery_in_a_probe,
        led_beside.doctor_of_documents,
        led_beside.doctor_of_redirects,
        led_beside.look_at_ourselves_by_documents,
        led_beside.look_at_ourselves_by_redirects,
    }
)


def _names(features: tuple[tuple[Feature, str], ...]) -> list[str]:
    return [feature.__name__ for feature, _ in features]


# ---------------------------------------------------------------- the tests
def places_for(feature: Feature) -> Sequence[Place]:
    """All, or for a feature that takes long, every second one."""
    return PLACES[::2] if feature in TAKING_LONG else PLACES


@pytest.mark.parametrize("feature", [feature for feature, _ in FEATURES], ids=_names(FEATURES))
async def test_there_are_enough_places(feature: Feature) -> None:
    places = places_for(feature)
    assert len({place.url for place in places}) == len(places) >= 40


@pytest.mark.parametrize(("feature", "_path"), FEATURES, ids=_names(FEATURES))
async def test_no_hostile_place_is_connected_to(
    home: Home, feature: Feature, _path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    led_astray = []
    if feature in NAMING_HOSTS:
        home.internet.passed += 11  # what failed for another feature a moment ago is not even tried
    for place in places_for(feature):
        await feature(home, home.internet.peer(f"p{next(_numbers)}"), place)
        if home.internet.breaches:
            led_astray.append((place.why, *home.internet.breaches))
            home.internet.breaches.clear()
    assert led_astray == []
    assert "Traceback" not in capfd.readouterr().out  # whatever is named there is no fault of ours


FOLLOWING = tuple((feature, path) for feature, path in FEATURES if path)


@pytest.mark.parametrize(("feature", "path"), FOLLOWING, ids=_names(FOLLOWING))
async def test_a_public_place_is_connected_to(home: Home, feature: Feature, path: str) -> None:
    good = home.internet.peer(f"good{next(_numbers)}")
    await feature(home, home.internet.peer(f"leading{next(_numbers)}"), Place("good", good.host, f"{good.origin}/elsewhere"))
    assert path.rstrip("/") in {asked.path.rstrip("/") for asked in home.asked(good)}
    assert home.internet.breaches == []


async def test_keys_at_another_path_of_the_same_host_are_fetched(home: Home) -> None:
    peer = home.internet.peer("moved")
    peer.route("GET", "/keys", lambda _: answer(200, peer.key_set))
    await jwks_uri(home, peer, Place("good", peer.host, f"{peer.origin}/keys"))
    assert peer.fetched("/keys") == 1
    [item] = (await home.api("GET", "/inbox", query=f"after={home.newest}")).json["items"]
    home.newest = item["id"]
    assert item["sender"] == f"dora@{peer.host}"


async def test_the_judge_sees_who_goes_past_the_guard(home: Home) -> None:
    with pytest.raises(OSError, match="not in a test"):
        await asyncio.open_connection("127.0.0.1", 1)
    assert home.internet.breaches == ["('127.0.0.1', 1), past the guarded client"]


# ---------------------------------------------------------------- parts
def _json(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False)[1:-1].encode()


def _signed_by(peer: SimulatedServer, request: Request, named: str) -> Request:
    """The same message, signed with a keyid that leads elsewhere."""
    own = (("content-type", "application/json"),)
    unsigned = Request("POST", request.target_uri, own, request.body)
    named = "".join(c for c in named if " " <= c < "\x7f").replace("\\", "").replace('"', "")
    added = sign(unsigned, keyid=named, algorithm=peer.key.algorithm, sign=peer.key.sign, created=int(NOW), nonce=new_token())
    return Request("POST", request.target_uri, (*own, *added), request.body)


async def _open_share(home: Home, peer: SimulatedServer, uri: str, *, requirements: list[str] | None = None) -> None:
    """alice is given a folder, accepts it, and does with it what she can."""
    accepted = await receive(home, peer, uri, requirements=requirements)
    if accepted is None:
        return
    path = accepted["path"].replace(" ", "%20")
    await home.dav("PROPFIND", path, depth="1")
    await home.dav("GET", f"{path}/one.txt")
    await home.dav("PUT", f"{path}/two.txt")
    await leave(home, accepted)


def _multistatus(entries: list[tuple[str, bool]]) -> bytes:
    kind = {True: "<d:collection/>", False: ""}
    responses = "".join(
        f"<d:response><d:href>{escape(''.join(c for c in href if c >= ' '))}</d:href><d:propstat><d:prop>"
        f"<d:resourcetype>{kind[is_folder]}</d:resourcetype></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>"
        "</d:response>"
        for href, is_folder in entries
    )
    return f'<?xml version="1.0"?><d:multistatus xmlns:d="DAV:">{responses}</d:multistatus>'.encode()
