"""`ocm doctor` without a peer: what a reverse proxy, a full disk or a wrong file does to our server is seen and named."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from opencloudmesh.adapters.keys.signing_key import SigningKey
from opencloudmesh.adapters.tokens import JwtIssuer
from opencloudmesh.protocol.discovery import OwnOffer, build_discovery
from opencloudmesh.protocol.errors import LocalFault
from opencloudmesh.protocol.http_signatures import Request
from opencloudmesh.protocol.jwks import parse_key_set
from opencloudmesh.services.doctor import Instruments, Outcome, OwnDoctor, Report, own_homes
from opencloudmesh.services.doctor.own import OwnServer
from opencloudmesh.services.doctor.own_side import Space
from opencloudmesh.services.doctor.self_check import SelfCheck, credential
from opencloudmesh.services.doctor.through_proxy import DAV_BYTES, DAV_ROOTS, METHODS, ODD_TARGET, look_at_message_body
from opencloudmesh.services.ports import Database, HttpAnswer, Signer
from opencloudmesh.services.records import User
from tests.services.doctor_world import PAGE, TO_LOGIN, MemoryDatabase, SimulatedProbe, codes, document, finding, outcomes
from tests.services.world import HOST, ORIGIN, Asked, SimulatedNetwork, SimulatedTime, answer, new_token

DIALOG = f"{ORIGIN}/invite/accept"
LISTENER = "http://127.0.0.1:8080"
MESSAGE_BYTES = 65536
ROOMY = Space("users' files and database", 50 << 30, 100 << 30, True)
Proxy = Callable[[Asked], Asked | HttpAnswer]


@dataclass
class SimulatedFolder:
    """Implements `OwnFolder`; an error is raised."""

    key: SigningKey
    faults: dict[str, LocalFault] = field(default_factory=dict)
    odd: list[tuple[str, str]] = field(default_factory=list)
    disks: list[Space] = field(default_factory=lambda: [ROOMY])
    kept: bool | None = True
    homes: dict[str, str] = field(default_factory=dict)
    answers: threading.Event = field(default_factory=threading.Event)
    """Set: `/away` answers."""
    opened: Any = field(default_factory=MemoryDatabase)

    def _check(self, what: str) -> None:
        if what in self.faults:
            raise self.faults[what]

    def contradictions(self) -> Sequence[tuple[str, str]]:
        return self.odd

    def signer(self) -> Signer:
        self._check("signer")
        return self.key

    def check_secret_key(self) -> None:
        self._check("secret key")

    def database(self) -> Database:
        self._check("database")
        return self.opened  # type: ignore[no-any-return]

    def spaces(self) -> Sequence[Space]:
        return self.disks

    def fault_of_home(self, home: str) -> str:
        if home == "/away":
            self.answers.wait(60)
        return self.homes.get(home, "")

    def clock_is_kept(self) -> bool | None:
        return self.kept


class SimulatedHome:
    """Our server as the network shows it, behind a proxy that is a function; and the doctor who looks at it."""

    def __init__(self, time: SimulatedTime) -> None:
        self.time = time
        self.key = SigningKey(Ed25519PrivateKey.generate(), host=HOST)
        self.folder = SimulatedFolder(self.key)
        self.probe = SimulatedProbe()
        self.discovery = build_discovery(
            OwnOffer(
                origin=ORIGIN,
                provider="home",
                capabilities=("http-sig", "exchange-token", "invites"),
                invite_accept_dialog=DIALOG,
            )
        )
        self.published = self.discovery
        self.running_key = self.key
        self.limit = MESSAGE_BYTES
        self.client = "127.0.0.1"
        self.trusted = {"127.0.0.1"}
        self.listener = LISTENER
        self.listening = True
        self.proxy: Proxy = lambda asked: asked

    # ------------------------------------------------------------ the server
    async def fetch(self, method: str, url: str, *, headers: Any = None, body: bytes = b"", **more: Any) -> HttpAnswer:
        local = url.startswith(LISTENER)
        if local and not self.listening:
            return await SimulatedNetwork().fetch(method, url)
        asked = Asked(method, url.replace(LISTENER, ORIGIN), headers or {}, body)
        passed = asked if local else self.proxy(asked)
        return passed if isinstance(passed, HttpAnswer) else self.answer(passed)

    def stream(self, *args: Any, **more: Any) -> Any:
        raise AssertionError

    def origin_of(self, host: str) -> str:
        return f"https://{host}"

    def answer(self, asked: Asked) -> HttpAnswer:
        path = asked.path.partition("?")[0]
        if path in ("/.well-known/ocm", "/ocm-provider", "/ocm-provider/"):
            return document(self.published)
        if path == "/.well-known/jwks.json":
            return document(self.running_key.public_jwks())
        if path == "/invite/accept":
            return answer(303, b"", location="/login?next=%2Finvite%2Faccept")
        if path == "/readyz":
            return document({"status": "ok"})
        if "/self-check" in path and not path.startswith(DAV_ROOTS):
            return self._self_check(asked)
        if path.startswith("/dav/"):
            return answer(401, b"<error/>", www_authenticate="Bearer, Basic", content_type="application/xml")
        return document({"message": "invalid-message", "validationErrors": []}, status=400)

    def _self_check(self, asked: Asked) -> HttpAnswer:
        issuer = JwtIssuer(self.running_key, ORIGIN)
        keys = parse_key_set(json.dumps(self.running_key.public_jwks()).encode())
        check = SelfCheck(issuer=issuer, keys=lambda: keys, origin=ORIGIN, clock=self.time)
        headers = {name.lower(): value for name, value in asked.headers.items()}
        if not check.is_ours(headers.get("authorization", "")):
            return document({"message": "not-found"}, status=404)
        if asked.path.startswith("/ocm/") and len(asked.body) > self.limit:
            return document({"message": "message-too-large"}, status=413)
        if self.client != "127.0.0.1":
            headers["x-forwarded-for"] = "192.0.2.99"
        request = Request(asked.method, asked.url, tuple(headers.items()), asked.body)
        return document({"arrived": check.describe(request, client=self.client)})

    # ------------------------------------------------------------ the doctor
    async def examine(self) -> Report:
        instruments = Instruments(http=self, probe=self.probe, clock=self.time, new_token=new_token)
        server = OwnServer(
            origin=ORIGIN,
            listener=self.listener,
            discovery=lambda: self.discovery,
            message_bytes=MESSAGE_BYTES,
            trusts_proxy=self.trusted.__contains__,
        )
        doctor = OwnDoctor(
            instruments=instruments,
            server=server,
            folder=self.folder,
            local_http=self,
            issuer_for=lambda signer: JwtIssuer(self.key, ORIGIN),
        )
        return await doctor.examine()


@pytest.fixture
def own(time: SimulatedTime) -> SimulatedHome:
    return SimulatedHome(time)


def changed(asked: Asked, *, without: str = "", body: bytes | None = None, url: str = "") -> Asked:
    headers = {name: value for name, value in asked.headers.items() if name.lower() != without}
    return Asked(asked.method, url or asked.url, headers, asked.body if body is None else body)


# ---------------------------------------------------------------- all is well
async def test_a_healthy_server_is_all_ok(own: SimulatedHome) -> None:
    report = await own.examine()
    assert report.outcome is Outcome.OK, [result for result in report.results if result.seen.findings]
    assert {result.outcome for result in report.results} == {Outcome.OK}
    assert list(outcomes(report)) == [
        "settings", "key-files", "database", "disk", "homes", "running", "dns", "tcp", "tls", "discovery", "legacy", "keys",
        "identity", "clock", "messages", "webdav", "methods", "dialog", "arrival", "signature", "message-body", "dav-body",
    ]  # fmt: skip


async def test_bodies_are_as_large_as_they_are_said_to_be(own: SimulatedHome) -> None:
    sizes: dict[str, int] = {}

    def watch(asked: Asked) -> Asked:
        sizes[asked.path] = max(len(asked.body), sizes.get(asked.path, 0))
        return asked

    own.proxy = watch
    await own.examine()
    assert MESSAGE_BYTES - 100 < sizes["/ocm/self-check"] < MESSAGE_BYTES
    assert sizes["/dav/self-check"] == DAV_BYTES > 1 << 20
    assert look_at_message_body is not None


# ---------------------------------------------------------------- this machine
@pytest.mark.parametrize(("what", "step"), [("signer", "key-files"), ("secret key", "key-files"), ("database", "database")])
async def test_what_cannot_be_opened(own: SimulatedHome, what: str, step: str) -> None:
    own.folder.faults[what] = LocalFault("It cannot be used.", code="key-not-private", hint="chmod 600 it.")
    report = await own.examine()
    assert finding(report, step, "key-not-private").us == "chmod 600 it."
    assert outcomes(report)["identity"] == "skipped"
    assert outcomes(report)["messages"] == "ok", "what does not need it is looked at all the same"


async def test_settings_that_contradict_each_other(own: SimulatedHome) -> None:
    own.folder.odd = [("This and that.", "Choose one.")]
    assert finding(await own.examine(), "settings", "settings-contradict").us == "Choose one."


@pytest.mark.parametrize(
    ("space", "code"),
    [
        (Space("files", 90 << 20, 1 << 40, True), "disk-full"),
        (Space("files", 900 << 20, 1 << 40, True), "disk-tight"),
        (Space("files", 1 << 40, 1 << 41, False), "disk-not-writable"),
    ],
)
async def test_no_room(own: SimulatedHome, space: Space, code: str) -> None:
    own.folder.disks = [space]
    finding(await own.examine(), "disk", code)


@pytest.fixture
def lab(own: SimulatedHome) -> SimulatedHome:
    homes = {"ada": "", "bob": "/srv/lab", "eve": "/srv/lab", "zoe": "/srv/zoe"}
    own.folder.opened = MemoryDatabase(accounts=[user(name, home) for name, home in homes.items()])
    return own


def user(name: str, home: str = "", *, disabled: bool = False) -> User:
    return User(1, name, name, "", disabled, 0.0, home=home)


async def test_homes_that_are_well(lab: SimulatedHome) -> None:
    report = await lab.examine()
    assert outcomes(report)["homes"] == "ok"
    (homes,) = (result.seen.facts["homes"] for result in report.results if result.step == "homes")
    assert homes == [{"path": "/srv/lab", "users": ["bob", "eve"]}, {"path": "/srv/zoe", "users": ["zoe"]}]


async def test_a_home_that_cannot_be_used(lab: SimulatedHome) -> None:
    lab.folder.homes["/srv/lab"] = "It is not there."
    assert finding(await lab.examine(), "homes", "home-unusable").sentence == (
        "The files of bob, eve in /srv/lab cannot be used. It is not there."
    )


async def test_a_home_that_does_not_answer(lab: SimulatedHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_homes, "_SECONDS", 0.05)
    lab.folder.opened.accounts = [user("bob", "/away"), user("left", "/gone", disabled=True)]
    report = await lab.examine()
    lab.folder.answers.set()
    assert "did not answer" in finding(report, "homes", "home-unusable").sentence


async def test_homes_that_lie_one_in_the_other(lab: SimulatedHome) -> None:
    lab.folder.opened.accounts = [user("bob", "/srv/lab"), user("eve", "/srv/lab/eve"), user("zoe", "/srv/laboratory")]
    assert "bob in /srv/lab and those of eve in /srv/lab/eve" in finding(await lab.examine(), "homes", "homes-nested").sentence


async def test_a_server_that_does_not_run(own: SimulatedHome) -> None:
    own.listening = False
    found = finding(await own.examine(), "running", "not-running")
    assert (found.outcome, "ocm serve" in found.us) == (Outcome.FAIL, True)


async def test_another_program_at_our_port(own: SimulatedHome) -> None:
    own.running_key = SigningKey(Ed25519PrivateKey.generate(), host=HOST)
    report = await own.examine()
    assert finding(report, "running", "listener-foreign").outcome is Outcome.FAIL
    assert finding(report, "identity", "own-key-missing").outcome is Outcome.FAIL
    assert "restart" in finding(report, "arrival", "authorization-lost").us


async def test_a_port_that_is_not_known_is_a_note(own: SimulatedHome) -> None:
    own.listener = ""
    assert finding(await own.examine(), "running", "listener-unknown").outcome is Outcome.OK


async def test_a_clock_that_nobody_keeps_is_a_note(own: SimulatedHome) -> None:
    own.folder.kept = False
    assert finding(await own.examine(), "clock", "clock-not-kept").outcome is Outcome.OK
    own.folder.kept = None
    assert codes(await own.examine(), "clock") == []


@pytest.mark.parametrize(
    ("changes", "code", "outcome"),
    [
        ({"endPoint": "https://other.example/ocm"}, "own-discovery-foreign", "fail"),
        ({"provider": "another name"}, "own-discovery-outdated", "warn"),
        ({"criteria": ["denylist"]}, None, "ok"),
    ],
)
async def test_a_document_that_is_not_the_configured_one(
    own: SimulatedHome, changes: dict[str, Any], code: str | None, outcome: str
) -> None:
    own.published = own.discovery | changes
    report = await own.examine()
    assert (codes(report, "identity"), outcomes(report)["identity"]) == ([code] if code else [], outcome)


# ---------------------------------------------------------------- the proxy
def refuse(answered: HttpAnswer, *, method: str = "", path: str = "") -> Proxy:
    return lambda asked: answered if asked.method == (method or asked.method) and asked.path.startswith(path) else asked


MESSAGES = [
    (refuse(answer(405, b""), method="POST"), "http-405", "let it"),
    (refuse(PAGE, method="POST"), "answer-web-page", "pass POST for this path on"),
    (refuse(TO_LOGIN, method="POST"), "http-302", "single sign-on"),
    (refuse(answer(404, b"nothing"), path="/ocm/"), "http-404", "/ocm/"),
    (refuse(answer(401, b"", www_authenticate="Basic"), path="/ocm/"), "http-401", "/ocm/"),
    (refuse(answer(429, b""), path="/ocm/"), "http-429", "trusted_proxies"),
    (refuse(answer(502, b""), path="/ocm/"), "http-502", "/ocm/"),
]


@pytest.mark.parametrize(("proxy", "code", "advice"), MESSAGES, ids=[row[1] for row in MESSAGES])
async def test_messages_that_do_not_get_through(own: SimulatedHome, proxy: Proxy, code: str, advice: str) -> None:
    own.proxy = proxy
    report = await own.examine()
    found = [found for found in report.of("messages").seen.findings if found.code == code]
    assert len(found) == 3
    assert all(advice in found.us and not found.them for found in found)


async def test_methods_that_do_not_get_through(own: SimulatedHome) -> None:
    own.proxy = lambda asked: answer(405) if asked.method in ("PROPFIND", "MKCOL", "MOVE") else asked
    found = finding(await own.examine(), "methods", "http-405")
    assert "PROPFIND, MKCOL, MOVE" in found.sentence
    assert {"COPY", "DELETE", "PUT"} <= set(METHODS)
    own.proxy = lambda asked: answer(200) if asked.method == "OPTIONS" else asked
    assert "OPTIONS" in finding(await own.examine(), "methods", "http-200").sentence


@pytest.mark.parametrize(
    "instead",
    [
        PAGE,
        TO_LOGIN,
        answer(404),
        answer(303, b"", location="/login"),
        answer(200, b"", location="/login?next=%2Finvite%2Faccept"),
    ],
)
async def test_the_page_for_invites_is_another_sites(own: SimulatedHome, instead: HttpAnswer) -> None:
    own.proxy = refuse(instead, path="/invite/accept")
    found = finding(await own.examine(), "dialog", "own-dialog-foreign")
    assert found.outcome is Outcome.FAIL
    assert DIALOG in found.sentence
    assert "reverse-proxy.md" in found.us


async def test_no_page_for_invites_is_published(own: SimulatedHome) -> None:
    own.discovery = {name: value for name, value in own.discovery.items() if name != "inviteAcceptDialog"}
    own.published = own.discovery
    own.proxy = refuse(PAGE, path="/invite/accept")
    assert outcomes(await own.examine())["dialog"] == "ok"


async def test_another_door_keeper_before_webdav(own: SimulatedHome) -> None:
    own.proxy = refuse(answer(401, b"", www_authenticate='Basic realm="Company"'), path="/dav/")
    assert finding(await own.examine(), "methods", "challenge-lost").outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("lost", "code"),
    [
        ("signature", "sig-missing"),
        ("signature-input", "sig-missing"),
        ("content-digest", "sig-digest-missing"),
        ("authorization", "authorization-lost"),
    ],
)
async def test_headers_that_are_lost(own: SimulatedHome, lost: str, code: str) -> None:
    own.proxy = lambda asked: changed(asked, without=lost)
    report = await own.examine()
    found = report.of("arrival" if lost == "authorization" else "signature").seen.findings
    assert [(finding.outcome, finding.code) for finding in found] == [(Outcome.FAIL, code)]
    assert outcomes(report)["message-body"] == "skipped"


async def test_the_header_depth_is_lost(own: SimulatedHome) -> None:
    own.proxy = lambda asked: changed(asked, without="depth")
    assert finding(await own.examine(), "arrival", "proxy-header-lost").outcome is Outcome.FAIL


async def test_bodies_that_are_changed(own: SimulatedHome) -> None:
    own.proxy = lambda asked: changed(asked, body=asked.body + b" ") if asked.body else asked
    assert "proxy-body-changed" in codes(await own.examine(), "signature")


async def test_paths_that_are_changed(own: SimulatedHome) -> None:
    own.proxy = lambda asked: changed(asked, url=asked.url.replace("%20", " "))
    report = await own.examine()
    assert finding(report, "arrival", "proxy-path-changed").outcome is Outcome.WARN
    assert "%20" in ODD_TARGET


@pytest.mark.parametrize(("limit", "bad"), [(1024, ["message-body", "dav-body"]), (1 << 20, ["dav-body"])])
async def test_bodies_that_are_too_large_for_the_proxy(own: SimulatedHome, limit: int, bad: list[str]) -> None:
    own.proxy = lambda asked: (
        answer(413, b"<html>Too Large</html>", content_type="text/html") if len(asked.body) > limit else asked
    )
    report = await own.examine()
    assert [step for step, outcome in outcomes(report).items() if outcome == "fail"] == bad
    assert all("client_max_body_size" in finding(report, step, "proxy-body-limit").us for step in bad)


async def test_a_server_that_runs_with_another_limit(own: SimulatedHome) -> None:
    own.limit = 2048
    assert "Restart" in finding(await own.examine(), "message-body", "message-too-large").us


async def test_a_proxy_that_is_not_a_trusted_one(own: SimulatedHome) -> None:
    own.client = "10.0.0.4"
    assert "10.0.0.4/32" in finding(await own.examine(), "arrival", "proxy-not-trusted").us
    own.trusted = {"10.0.0.4"}
    assert codes(await own.examine(), "arrival") == []


async def test_another_server_behind_our_address(own: SimulatedHome) -> None:
    own.proxy = lambda asked: PAGE
    report = await own.examine()
    assert finding(report, "discovery", "discovery-not-json").us
    assert outcomes(report)["running"] == "ok"
    assert all(not found.them for result in report.results for found in result.seen.findings), "it is ours to mend"


async def test_no_credential_is_reported(own: SimulatedHome) -> None:
    seen: list[str] = []

    def watch(asked: Asked) -> HttpAnswer | Asked:
        seen.extend(value for name, value in asked.headers.items() if name == "authorization")
        return answer(500, (seen[-1] if seen else "").encode()) if "self-check" in asked.path else asked

    own.proxy = watch
    report = await own.examine()
    assert seen
    assert all(text.partition(" ")[2] not in str(report) for text in seen)


# ---------------------------------------------------------------- the self-check
async def test_only_the_operators_credential_opens_the_self_check(own: SimulatedHome) -> None:
    issuer = JwtIssuer(own.key, ORIGIN)
    keys = parse_key_set(json.dumps(own.key.public_jwks()).encode())
    check = SelfCheck(issuer=issuer, keys=lambda: keys, origin=ORIGIN, clock=own.time)
    good = credential(issuer, ORIGIN, own.time())
    share = issuer.issue({"aud": f"{ORIGIN}/dav/ocm/p1", "share": "p1", "exp": own.time() + 300})
    other = JwtIssuer(SigningKey(Ed25519PrivateKey.generate(), host=HOST), ORIGIN)
    assert check.is_ours(f"Bearer {good}")
    assert not check.is_ours(f"Basic {good}")
    assert not check.is_ours("")
    assert not check.is_ours(f"Bearer {share}"), "an access token of a share is no key to anything else"
    assert not check.is_ours(f"Bearer {credential(other, ORIGIN, own.time())}")
    assert not check.is_ours(f"Bearer {credential(issuer, 'https://other.example', own.time())}")
    own.time.advance(61)
    assert not check.is_ours(f"Bearer {good}")
