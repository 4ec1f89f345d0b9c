"""Two servers, one behind nginx and one behind Caddy, as docs/operate/reverse-proxy.md configures them; clients speak HTTP/2."""

import gzip
import http.client
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.adapters.authority import Authority
from tests.federation.left_behind import examine
from tests.federation.peer import SimulatedPeer
from tests.federation.proxied_site import PAGE, ProxiedSite, caddy, caddy_server, curl, nginx, nginx_server, replaced, snippets
from tests.federation.secrets_told import told
from tests.federation.site import User
from tests.federation.test_doctor import own_report, troubles
from tests.federation.wire import SECONDS, free_port, wait_until

SIZE = 3_000_000
CONTENT = bytes(range(256)) * (SIZE // 256)
TRUSTED = {"trusted_proxies": '["127.0.0.1/32"]'}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def peer_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory, authority: Authority, peer_port: int) -> Iterator[dict[str, ProxiedSite]]:
    """A running server for each proxy."""
    folder = tmp_path_factory.mktemp("proxied")
    found = {
        "nginx": ProxiedSite(folder / "behind-nginx", ["alice"], authority, TRUSTED | {"failures_per_address": "5"}),
        "caddy": ProxiedSite(folder / "behind-caddy", ["bob"], authority, TRUSTED | {"failures_per_address": "5"}),
    }
    with ExitStack() as stack:
        for site in found.values():
            site.may_reach(*found.values(), peer_port=peer_port)
            site.set_up()
            site.start()
            stack.callback(site.stop)
        yield found
    for site in found.values():
        lines = [json.loads(line) for line in site.log_text().splitlines()]
        assert [line for line in lines if line["level"] in ("error", "critical")] == []
        assert examine(site, told).leaks == []


PROXIES = {"nginx": (nginx, nginx_server), "caddy": (caddy, caddy_server)}


@pytest.fixture
def through(sites: dict[str, ProxiedSite]) -> Iterator[Callable[..., None]]:
    """Put a proxy in front of its server, configured as the page says, or with changes to that."""
    with ExitStack() as stack:

        def put(name: str, change: Callable[[str], str] = lambda text: text) -> None:
            proxy, configured = PROXIES[name]
            stack.enter_context(proxy(sites[name], change(configured(sites[name]))))

        yield put


@dataclass(frozen=True)
class Person:
    """A user of one of them."""

    user: User
    site: ProxiedSite


@pytest.fixture
def people(sites: dict[str, ProxiedSite], through: Callable[..., None]) -> dict[str, Person]:
    """Both proxies are there: alice behind nginx, bob behind Caddy."""
    for name in sites:
        through(name)
    names = {"nginx": "alice", "caddy": "bob"}
    return {name: Person(User(site, names[name]), site) for name, site in sites.items()}


def wrong(site: ProxiedSite) -> dict[str, list[str]]:
    """What the doctor says is wrong, by step; that the peer of these tests speaks plain http is in the settings."""
    found = troubles(own_report(site.folder))
    assert found.pop("settings") == ["settings-contradict"]
    return found


# ---------------------------------------------------------------- all is well
@pytest.mark.parametrize(("sender", "receiver"), [("nginx", "caddy"), ("caddy", "nginx")])
def test_a_shared_folder_through_both(sender: str, receiver: str, people: dict[str, Person]) -> None:
    giver, taker = people[sender], people[receiver]
    folder = f"data of {sender}+100%"
    giver.user.make_folder(folder)
    giver.user.put(f"{folder}/n\u00fcmbers & #1.txt", CONTENT)
    share = giver.user.share(folder, taker.user.address, ["read", "write"])
    assert share["state"] == "sent", [(e["url"], e["reason"], e["detail"]) for e in giver.site.exchanges()]
    taker.user.answer("accept", share["provider_id"])
    wait_until(lambda: giver.user.state_of(share) == "accepted")

    place = f"Shared with me/{folder}"
    part = taker.user.dav("GET", f"{place}/n\u00fcmbers & #1.txt", [("range", f"bytes=1000-{SIZE - 2000}")])
    assert (part.status, part.body) == (206, CONTENT[1000 : SIZE - 1999])
    assert taker.user.dav("GET", f"{place}/n\u00fcmbers & #1.txt").body == CONTENT
    listed = taker.user.dav("PROPFIND", place, [("depth", "1")])
    assert (listed.status, listed.body.count(b"<d:response>") + listed.body.count(b"<D:response>")) == (207, 2)
    taker.user.put(f"{place}/back%2F.bin", CONTENT[::-1])
    assert (giver.site.files_of(giver.user.name) / folder / "back%2F.bin").read_bytes() == CONTENT[::-1]

    giver.user.unshare(share)
    wait_until(lambda: taker.user.received(share["provider_id"])["state"] == "revoked")
    for site in (giver.site, taker.site):
        messages = wait_until(
            lambda site=site: [one for one in site.exchanges() if one["method"] == "POST" and "/ocm/" in one["url"]]
        )
        assert [found for found in messages if found["reason"]] == []


@pytest.mark.parametrize("name", PROXIES)
def test_the_doctor_finds_nothing_wrong(name: str, sites: dict[str, ProxiedSite], through: Callable[..., None]) -> None:
    through(name)
    assert wrong(sites[name]) == {}


@pytest.mark.parametrize("name", PROXIES)
def test_documents_are_compressed_and_files_are_not(name: str, people: dict[str, Person], authority: Authority) -> None:
    person = people[name]
    wants = ("accept-encoding", "gzip")
    _, document = curl(f"{person.site.origin}/.well-known/ocm", authority, headers=[wants])
    assert document.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(document.body))["endPoint"] == f"{person.site.origin}/ocm"
    person.user.put("plain.txt", b"a text " * 10_000)
    whole = person.user.dav("GET", "plain.txt", [wants])
    assert (len(whole.body), "content-encoding" in whole.headers) == (70_000, False)
    etag = whole.headers["etag"]
    part = person.user.dav("GET", "plain.txt", [wants, ("range", "bytes=7-13"), ("if-range", etag)])
    assert (part.status, part.body, part.headers["etag"]) == (206, b"a text ", etag)
    assert person.user.dav("PUT", "plain.txt", [("if-match", etag)], b"new").status == 204


# ---------------------------------------------------------------- what clients write
@pytest.fixture
def peer(tmp_path_factory: pytest.TempPathFactory, peer_port: int) -> Iterator[SimulatedPeer]:
    """Another server, always the same: servers remember its key."""
    folder = tmp_path_factory.getbasetemp() / "peer of proxied sites"
    folder.mkdir(exist_ok=True)
    peer = SimulatedPeer(folder, peer_port)
    with peer.serving():
        yield peer


FORGED = (
    ("X-Forwarded-For", "198.51.100.7, 127.0.0.1"),
    ("X-Forwarded-Host", "evil.example.org"),
    ("X-Forwarded-Proto", "gopher"),
    ("X-Forwarded-Port", "1"),
    ("X-Forwarded-Prefix", "/evil"),
    ("X-Real-IP", "198.51.100.8"),
    ("Forwarded", "for=198.51.100.9;host=evil.example.org;proto=http"),
)


def share_signed(peer: SimulatedPeer, person: Person) -> tuple[str, list[tuple[str, str]], bytes]:
    """A signed Share Creation Notification: URL, headers, body."""
    url = f"{person.site.origin}/ocm/shares"
    body = json.dumps(peer.share(person.user.address)).encode()
    return url, peer.signed(url, "application/json", body), body


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("version", ["--http2", "--http1.1"])
def test_a_signature_holds_whatever_else_a_client_writes(
    name: str, version: str, people: dict[str, Person], peer: SimulatedPeer, authority: Authority
) -> None:
    person = people[name]
    url, headers, body = share_signed(peer, person)
    shouted = [(found.upper(), value) for found, value in headers]  # HTTP/2 has lower case only: curl sees to that
    source = "127.0.1.2" if version == "--http2" else "127.0.1.1"
    sent = [*shouted, *FORGED, ("Host", person.site.host)]
    spoken, answer = curl(url, authority, version, method="POST", headers=sent, body=body, source=source)
    assert (spoken, answer.status) == ("HTTP/2" if version == "--http2" else "HTTP/1.1", 201), answer
    wait_until(lambda: person.site.seen_last(peer.host) == (True, source))
    other = body.replace(b"carol@", b"mallo@", 1)
    _, refused = curl(url, authority, version, method="POST", headers=[*shouted, *FORGED], body=other)
    assert (refused.status, refused.json["message"]) == (401, "sig-digest")


@pytest.mark.parametrize("name", PROXIES)
def test_a_client_cannot_borrow_an_address_for_its_limits(
    name: str, people: dict[str, Person], peer: SimulatedPeer, authority: Authority
) -> None:
    person = people[name]
    url, headers, body = share_signed(peer, person)

    def ask(number: int, source: str) -> int:
        forged = [("X-Forwarded-For", f"203.0.113.{number}"), ("Forwarded", f"for=203.0.113.{number}")]
        return curl(
            url, authority, method="POST", headers=[*headers, *forged], body=body.replace(b"carol@", b"mallo@"), source=source
        )[1].status

    numbers = itertools.count()
    assert [ask(next(numbers), "127.0.0.3") for _ in range(5)] == [401] * 5
    wait_until(lambda: ask(next(numbers) % 250, "127.0.0.3") == 429)
    assert ask(9, "127.0.0.4") == 401  # others are not hindered


def test_nobody_is_believed_who_is_no_declared_proxy(people: dict[str, Person], peer: SimulatedPeer) -> None:
    person = people["nginx"]
    _, headers, body = share_signed(peer, person)
    connection = http.client.HTTPConnection("127.0.0.1", person.site.port, source_address=("127.0.0.5", 0), timeout=SECONDS)
    connection.request("POST", "/ocm/shares", body, dict([*headers, *FORGED]))
    assert connection.getresponse().status == 201
    connection.close()
    wait_until(lambda: person.site.seen_last(peer.host) == (True, "127.0.0.5"))


# ---------------------------------------------------------------- paths
def accepts(peer: SimulatedPeer, site: ProxiedSite, authority: Authority, user: str) -> bool:
    """Whether a signed share for a user goes through."""
    url = f"{site.origin}/ocm/shares"
    body = json.dumps(peer.share(f"{user}@{site.host}")).encode()
    return curl(url, authority, method="POST", headers=peer.signed(url, "application/json", body), body=body)[1].status == 201


def test_beside_another_site(
    sites: dict[str, ProxiedSite], through: Callable[..., None], peer: SimulatedPeer, authority: Authority
) -> None:
    site = sites["nginx"]
    whole = f"    location / {{\n        proxy_pass http://{site.listen};\n    }}\n"
    ours = replaced(snippets("nginx")[1], {"127.0.0.1:8080": site.listen})
    through("nginx", lambda text: replaced(text, {whole: f"{ours} location / {{ return 200 another; }}\n"}))
    assert site.ask("GET", "/").body == b"another"
    assert site.ask("GET", "/ocmx").body == b"another"
    assert wrong(site) == {}
    assert accepts(peer, site, authority, "alice")


def test_below_a_path_inside(
    sites: dict[str, ProxiedSite], through: Callable[..., None], peer: SimulatedPeer, authority: Authority
) -> None:
    site, middle = sites["nginx"], f"127.0.0.1:{free_port()}"
    inner = replaced(snippets("nginx")[2], {"127.0.0.1:8080": site.listen})
    outer = replaced(snippets("nginx")[3], {"127.0.0.1:8000": middle})
    through(
        "nginx",
        lambda text: (
            replaced(text, {f"proxy_pass http://{site.listen};": outer})
            + f"server {{ listen {middle}; client_max_body_size 0; proxy_http_version 1.1; {inner} }}"
        ),
    )
    assert wrong(site) == {}
    assert accepts(peer, site, authority, "alice")
    assert site.ask("GET", "/opencloudmesh/.well-known/ocm").status == 404


# ---------------------------------------------------------------- mistakes
MISTAKES: dict[str, tuple[str, dict[str, str], str, str]] = {
    # what the page says of it: the proxy, what is changed in its configuration, the doctor's step and code
    "proxy_pass http://127.0.0.1:8080/;": ("nginx", {"{listen};": "{listen}/;"}, "methods", "http-404"),
    "client_max_body_size": ("nginx", {"client_max_body_size 0;": ""}, "dav-body", "proxy-body-limit"),
    'proxy_set_header Authorization "";': ("nginx", {"Forwarded": 'Authorization ""; #'}, "arrival", "authorization-lost"),
    'proxy_set_header Signature "";': ("nginx", {"Forwarded": 'Signature ""; #'}, "signature", "sig-missing"),
    "limit_except GET PUT { deny all; }": (
        "nginx",
        {"gzip off;": "limit_except GET PUT { deny all; }"},
        "methods",
        "http-403",
    ),
    "rewrite * /index.php{uri}": (
        "caddy",
        {"reverse_proxy": "rewrite * /index.php{uri}\n reverse_proxy"},
        "discovery",
        "http-404",
    ),
    "basicauth": (
        "caddy",
        {"reverse_proxy": "basicauth {\n admin $2a$14$D0BA0NjWrmWF3aXPGBu2/Oin2soRWvkRX8Y1ashE6TNetVn5EqDoa\n }\n reverse_proxy"},
        "methods",
        "challenge-lost",
    ),
    "request_body { max_size 1MB }": (
        "caddy",
        {"reverse_proxy": "request_body {\n max_size 1MB\n }\n reverse_proxy"},
        "dav-body",
        "http-502",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_doctor_names_a_mistake(mistake: str, sites: dict[str, ProxiedSite], through: Callable[..., None]) -> None:
    name, changes, step, code = MISTAKES[mistake]
    rows = [row for row in PAGE.read_text("utf-8").splitlines() if row.lower().startswith(f"| {name}: ") and mistake in row]
    assert len(rows) == 1
    assert f"`{step}`: `{code}`" in rows[0]
    site = sites[name]
    here = {old.replace("{listen}", site.listen): new.replace("{listen}", site.listen) for old, new in changes.items()}
    through(name, lambda text: replaced(text, here))
    found = wrong(site)
    assert code in found.get(step, []), found
