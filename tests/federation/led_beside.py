"""How a stranger may lead what works beside users' requests: background jobs, Directory Services, and the two doctors."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from opencloudmesh.protocol.errors import InvalidInput
from opencloudmesh.services.directories import Directories, DirectorySource
from opencloudmesh.services.ports import HttpAnswer
from tests.federation.guarded_internet import OWN_NAME, Home
from tests.federation.hostile_places import Place
from tests.services.test_directories import KEY, keys_of, signed
from tests.services.world import HOST, SimulatedServer, answer, new_token

DISCOVERY = ("/.well-known/ocm", "/ocm-provider/", "/ocm-provider")


def redirect(url: str) -> HttpAnswer:
    """To that place, as far as it can be written in a header."""
    return answer(307, location="".join(c for c in url if c not in "\r\n\0"))


async def receive(home: Home, peer: SimulatedServer, uri: str, *, requirements: list[str] | None = None) -> Any:
    """alice is given a folder and accepts it; None where such a share is not even taken."""
    provider_id = new_token()
    webdav: dict[str, Any] = {"uri": uri, "sharedSecret": new_token(), "permissions": ["read", "write"]}
    webdav |= {"requirements": requirements} if requirements else {}
    share = peer.share(f"alice@{HOST}", provider_id=provider_id, name=provider_id, protocol={"name": "multi", "webdav": webdav})
    if (await home.hear(share)).status != 201:
        return None
    [item] = (await home.api("GET", "/inbox", query=f"after={home.newest}")).json["items"]
    home.newest = item["id"]
    return (await home.api("POST", f"/inbox/{item['id']}/accept")).json


async def leave(home: Home, share: Any) -> None:
    await home.api("POST", f"/inbox/{share['id']}/leave")


# ---------------------------------------------------------------- jobs that look after shares
def _looking(look: Callable[[Home, SimulatedServer, Any], Awaitable[object]], name: str) -> Any:
    async def feature(home: Home, peer: SimulatedServer, place: Place) -> None:
        share = await receive(home, peer, place.url)
        if share is not None:
            await look(home, peer, share)
            await leave(home, share)

    feature.__name__ = name
    return feature


async def _repair(home: Home, peer: SimulatedServer, share: Any) -> None:
    for dry_run in (True, False):
        asked = {"dry_run": dry_run, "resend": True, "peer": peer.host, "after": f"received:{share['id'] - 1}"}
        assert (await home.api("POST", "/shares/repair", asked)).status == 200


async def _reconcile(home: Home, peer: SimulatedServer, share: Any) -> None:
    await home.wiring.reconciler.reconcile()


async def _probe(home: Home, peer: SimulatedServer, share: Any) -> None:
    database = home.wiring.database
    record = await database.read(lambda tx: tx.incoming_shares.by_id(share["id"]))
    await home.wiring.prober.probe(record)


repair = _looking(_repair, "repair")
reconciliation = _looking(_reconcile, "reconciliation")
probe_of_availability = _looking(_probe, "probe_of_availability")


async def redirect_of_discovery_in_a_probe(home: Home, peer: SimulatedServer, place: Place) -> None:
    share = await receive(home, peer, f"{peer.origin}/dav/ocm/p1")
    for path in DISCOVERY:
        peer.route("GET", path, lambda _: redirect(place.url))
    await _probe(home, peer, share)
    await leave(home, share)


# ---------------------------------------------------------------- Directory Services
async def _read_directory(home: Home, peer: SimulatedServer, reply: HttpAnswer) -> None:
    peer.route("GET", "/servers.json", lambda _: reply)
    source = DirectorySource(f"{peer.origin}/servers.json", keys_of(KEY))
    wiring = home.wiring
    directories = Directories([source], database=wiring.database, http=wiring.http, clock=wiring.clock, new_token=new_token)
    await directories.refresh_all()
    await directories.load()
    assert peer.fetched("/servers.json") == 1


async def redirect_of_a_directory(home: Home, peer: SimulatedServer, place: Place) -> None:
    await _read_directory(home, peer, redirect(place.url))


async def entries_of_a_directory(home: Home, peer: SimulatedServer, place: Place) -> None:
    await _read_directory(home, peer, HttpAnswer(200, {}, signed(place.host)))


# ---------------------------------------------------------------- the doctors
async def doctor_of_what_an_operator_types(home: Home, peer: SimulatedServer, place: Place) -> None:
    for typed in {place.host, place.url, f"bob@{place.host}"}:
        with suppress(InvalidInput):
            await home.doctor.examine(typed)


async def doctor_of_documents(home: Home, peer: SimulatedServer, place: Place) -> None:
    _name_everywhere(peer, place.url)
    await home.doctor.examine(peer.host)
    assert peer.fetched("/.well-known/ocm")


async def doctor_of_redirects(home: Home, peer: SimulatedServer, place: Place) -> None:
    _redirect_everything(peer, place.url)
    await home.doctor.examine(peer.host)
    assert home.asked(peer)


async def look_at_ourselves_by_documents(home: Home, peer: SimulatedServer, place: Place) -> None:
    own = home.internet.peer(OWN_NAME)  # what stands at our name is not us
    _name_everywhere(own, place.url)
    await home.own_doctor.examine()
    assert own.fetched("/.well-known/ocm")


async def look_at_ourselves_by_redirects(home: Home, peer: SimulatedServer, place: Place) -> None:
    own = home.internet.peer(OWN_NAME)
    _redirect_everything(own, place.url)
    await home.own_doctor.examine()
    assert home.asked(own)


def _name_everywhere(peer: SimulatedServer, url: str) -> None:
    peer.route("GET", "/.well-known/jwks.json", lambda _: answer(404))
    peer.discovery |= {"endPoint": url, "tokenEndPoint": url, "jwksUri": url}
    for kind in peer.discovery["resourceTypes"]:
        kind["protocols"]["webdav"] = url


def _redirect_everything(peer: SimulatedServer, url: str) -> None:
    for path in ("/.well-known/jwks.json", *DISCOVERY, "/ocm/shares", "/ocm/notifications", "/ocm/token", "/dav/ocm/", "/"):
        for method in ("GET", "POST", "OPTIONS", "PROPFIND", "PUT", "HEAD"):
            peer.route(method, path, lambda _: redirect(url))
