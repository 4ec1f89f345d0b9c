"""`ocm doctor PEER`: each thing that can be wrong between two servers is seen, named, and comes with what to do."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from opencloudmesh.protocol.errors import InvalidInput, PeerUnreachable
from opencloudmesh.protocol.http_signatures import Request, verify
from opencloudmesh.protocol.jwks import build_jwk, parse_key_set
from opencloudmesh.services.doctor import HostAddress, Outcome, Report
from opencloudmesh.services.doctor.findings import Seen
from opencloudmesh.services.doctor.peer import read_peer
from opencloudmesh.services.doctor.walk import Step, walk
from opencloudmesh.services.ports import Database, HttpAnswer
from opencloudmesh.services.records import Exchange, Secret, User
from tests.services.doctor_world import (
    DAY,
    PAGE,
    PRIVATE,
    PUBLIC,
    PUBLIC_6,
    TO_LOGIN,
    MemoryDatabase,
    Ward,
    codes,
    document,
    finding,
    outcomes,
    tls,
)
from tests.services.nextcloud import MemoryCavageKey
from tests.services.world import NOW, SimulatedNetwork, SimulatedTime, answer

PATHS = ("/.well-known/ocm", "/ocm-provider/", "/ocm-provider")


@pytest.fixture
def ward(time: SimulatedTime, network: SimulatedNetwork) -> Ward:
    """A healthy server; nothing is known of it."""
    return Ward(MemoryDatabase(), time, network)


@pytest.fixture
def known(database: Database, time: SimulatedTime, network: SimulatedNetwork) -> Ward:
    """The same, with a real database."""
    return Ward(database, time, network)


# ---------------------------------------------------------------- all is well
async def test_a_healthy_server_is_all_ok(ward: Ward) -> None:
    report = await ward.examine()
    assert report.outcome is Outcome.OK, [result for result in report.results if result.outcome is not Outcome.OK]
    assert list(outcomes(report)) == [
        "trust", "dns", "tcp", "tls", "discovery", "legacy", "keys", "clock", "signed", "webdav", "contact", "deliveries",
    ]  # fmt: skip


async def test_looking_changes_nothing(known: Ward) -> None:
    ward = known
    await ward.examine()
    assert await ward.database.read(lambda tx: tx.peers.all()) == []
    methods = {(asked.method, asked.path) for asked in ward.away.network.asked}
    assert methods == {("GET", path) for path in (*PATHS, "/.well-known/jwks.json")} | {
        ("POST", "/ocm/notifications"),
        ("PROPFIND", "/dav/ocm/"),
    }


@pytest.mark.parametrize(
    ("told", "number"),
    [
        (answer(403, {"message": "not-a-party"}), 2),
        (answer(403, {"message": "policy-denied"}), 0),
        (answer(401, {"message": "sig-stale"}), 0),
        (answer(201), 0),
    ],
    ids=["taken", "denied", "not verified", "ignored"],
)
async def test_what_was_refused_is_tried_again_where_the_signed_message_is_taken(
    ward: Ward, told: HttpAnswer, number: int
) -> None:
    ward.answers("POST", "/ocm/notifications", told)
    assert (await ward.examine()).tried_again == number
    assert ward.asked_again == (["away.example"] if number else [])


async def test_the_message_is_well_signed_and_about_no_share(ward: Ward) -> None:
    await ward.examine()
    (asked,) = ward.away.got("/ocm/notifications")
    keys = parse_key_set(json.dumps(ward.signer.public_jwks()).encode())
    verify(Request("POST", asked.url, tuple(asked.headers.items()), asked.body), keys, now=NOW)
    assert asked.json["providerId"].startswith("doctor-")
    assert "sharedSecret" not in json.dumps(asked.json)


@pytest.mark.parametrize(
    ("typed", "host"),
    [
        ("Cloud.Example.org", "cloud.example.org"),
        ("https://cloud.example.org/index.php", "cloud.example.org"),
        ("alice@cloud.example.org:8443", "cloud.example.org:8443"),
        ("http://cloud.example.org", "cloud.example.org:80"),
        ("[2001:db8::1]", "[2001:db8::1]"),
    ],
)
def test_a_peer_may_be_typed_in_many_ways(typed: str, host: str) -> None:
    assert read_peer(typed) == host


@pytest.mark.parametrize("typed", ["", "no host", "a/b", "https://"])
async def test_what_names_no_server_is_refused(ward: Ward, typed: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await ward.examine(typed)
    assert caught.value.code == "host-invalid"


# ---------------------------------------------------------------- the walk
async def test_a_step_that_hangs_fails_alone_and_all_ends_in_time() -> None:
    async def hangs(_: None) -> Seen:
        await asyncio.Event().wait()
        raise AssertionError

    async def fine(_: None) -> Seen:
        return Seen("fine")

    async def stumbles(_: None) -> Seen:
        raise RuntimeError("geheim")

    steps = (
        Step("hangs", hangs, seconds=0.02),
        Step("fine", fine),
        Step("needs it", fine, needs=("hangs",)),
        Step("after it", fine, after=("hangs",)),
        Step("needs what needs it", fine, needs=("fine", "needs it")),
        Step("stumbles", stumbles),
        Step("hangs long", hangs, after=("hangs",), seconds=1000.0),
    )
    results = {result.step: result for result in await walk(steps, None, seconds=0.7)}
    found = {name: (result.outcome.value, [f.code for f in result.seen.findings]) for name, result in results.items()}
    assert found == {
        "hangs": ("fail", ["step-timeout"]),
        "fine": ("ok", []),
        "needs it": ("skipped", []),
        "after it": ("ok", []),
        "needs what needs it": ("skipped", []),
        "stumbles": ("fail", ["internal"]),
        "hangs long": ("fail", ["step-timeout"]),
    }
    assert "geheim" not in str(results["stumbles"])


# ---------------------------------------------------------------- our side
async def test_a_denied_server_is_not_asked_for_anything(ward: Ward) -> None:
    ward.denylist = ("away.example",)
    report = await ward.examine()
    assert "trust.denylist" in finding(report, "trust", "denylisted").us
    skipped = {step for step, outcome in outcomes(report).items() if outcome == "skipped"}
    assert skipped == {"dns", "tcp", "tls", "discovery", "legacy", "keys", "clock", "signed", "webdav"}
    assert ward.probe.connected == []
    assert ward.away.network.asked == []


async def test_what_we_remember_of_it(known: Ward) -> None:
    ward = known
    await ward.database.write(lambda tx: tx.peers.set_contact("away.example", NOW - 3 * DAY))
    report = await ward.examine()
    assert report.of("contact").seen.summary == "last met 3 days ago"
    await ward.database.write(lambda tx: tx.peers.set_failing("away.example", NOW - 2 * 3600, "tcp-timeout"))
    found = finding(await ward.examine(), "contact", "peer-failing")
    assert "tcp-timeout" in found.sentence


async def test_a_message_that_was_refused_here(known: Ward) -> None:
    why = json.dumps({"differs": {"component": "@method", "expected": "post", "received": "POST"}})
    refused = Exchange(NOW - 60, "in", "away.example", "POST", "https://home.example/ocm/shares", 401, 0.1, "sig-mismatch")
    await known.database.write(lambda tx: tx.exchanges.add([replace(refused, diagnosis=why)]))
    found = finding(await known.examine(), "contact", "inbound-refused")
    assert found.sentence.endswith("(sig-mismatch): It was signed as post, and POST arrived.")
    await known.database.write(lambda tx: tx.exchanges.add([replace(refused, at=NOW - 9, status=201, reason="")]))
    assert (await known.examine()).of("contact").seen.findings == ()


async def test_deliveries_that_wait(known: Ward, alice: User) -> None:
    ward = known

    def add(tx: Any) -> int:
        return int(
            tx.deliveries.add(
                peer="away.example", kind="SHARE_ACCEPTED", user_id=alice.id, outgoing_share_id=share.id,
                due_at=NOW - 50, expires_at=NOW + DAY, at=NOW - 7200,
            ).id
        )  # fmt: skip

    share = await ward.database.write(lambda tx: tx.outgoing_shares.add(_share(alice)))
    delivery_id = await ward.database.write(add)
    report = await ward.examine()
    assert report.of("deliveries").seen.summary == "1 waiting, the oldest for 2 hours"
    assert finding(report, "deliveries", "deliveries-waiting").outcome is Outcome.OK

    def fail(tx: Any) -> None:
        tx.deliveries.lease("away.example", holder="me", now=NOW, until=NOW + 60, limit=1)
        tx.deliveries.requeue(
            delivery_id, holder="me", due_at=NOW + 1800, reason="tls-expired", detail="geheim", http_status=0, at=NOW
        )

    await ward.database.write(fail)
    report = await ward.examine()
    assert "deliveries-given-up" not in codes(report, "deliveries")
    found = finding(report, "deliveries", "deliveries-waiting")
    assert (found.outcome, "tls-expired" in found.sentence, "30 minutes" in found.sentence) == (Outcome.WARN, True, True)
    assert "geheim" not in str(report)

    def bury(tx: Any) -> None:
        tx.deliveries.bury(delivery_id, reason="time-to-live", detail="geheim", http_status=0, at=NOW)
        tx.deliveries.bury(add(tx), reason="cancelled", detail="", http_status=0, at=NOW)

    await ward.database.write(bury)
    report = await ward.examine()
    found = finding(report, "deliveries", "deliveries-given-up")
    assert (found.outcome, found.sentence) == (Outcome.WARN, "1 given up, the last with time-to-live.")
    assert "ocm deliveries --all --failed --peer away.example; " in found.us
    assert "time-to-live can be tried again when that server answers: ocm deliveries retry ID --all" in found.us
    assert "geheim" not in str(report)

    await ward.database.write(
        lambda tx: tx.deliveries.bury(add(tx), reason="policy-denied", detail="", http_status=0, at=NOW + 1)
    )
    await ward.database.write(lambda tx: tx.deliveries.bury(add(tx), reason="http-400", detail="", http_status=400, at=NOW + 2))
    found = finding(await ward.examine(), "deliveries", "deliveries-given-up")
    assert found.sentence == "3 given up (1 http-400, 1 policy-denied, 1 time-to-live), the last with http-400."
    assert "What was denied goes out by itself" in found.us
    assert "What ended with time-to-live can be tried again" in found.us
    assert "What ended with http-400 was refused for what it says" in found.us


async def test_where_every_answer_is_an_error_keys_and_clock_are_not_well(ward: Ward) -> None:
    at_all_places(ward, answer(500, b""))
    ward.answers("GET", "/.well-known/jwks.json", answer(500, b""))
    report = await ward.examine()
    assert (outcomes(report)["keys"], outcomes(report)["clock"]) == ("warn", "skipped")


def _share(user: User) -> Any:
    from opencloudmesh.services.records import NewOutgoingShare

    return NewOutgoingShare(
        provider_id="p1", user_id=user.id, owner="alice@home.example", sender_display_name="Alice", path="a", name="a",
        resource_type="file", share_with="dora@away.example", peer="away.example", permissions=("read",),
        secret=Secret("s" * 32), expires_at=None, created_at=NOW,
    )  # fmt: skip


# ---------------------------------------------------------------- dns, tcp
async def test_a_name_without_address(ward: Ward) -> None:
    ward.probe.found = PeerUnreachable("the name away.example was not found", code="dns", hint="Check the spelling.")
    report = await ward.examine()
    assert finding(report, "dns", "dns").outcome is Outcome.FAIL
    assert {outcomes(report)[step] for step in ("tcp", "tls", "discovery", "signed")} == {"skipped"}


async def test_only_private_addresses(ward: Ward) -> None:
    ward.probe.found = [PRIVATE]
    report = await ward.examine()
    found = finding(report, "dns", "address-refused")
    assert (found.outcome, "route policy" in found.us, "DNS" in found.them) == (Outcome.FAIL, True, True)
    assert ward.probe.connected == []


async def test_a_private_address_beside_a_public_one(ward: Ward) -> None:
    ward.probe.found = [PRIVATE, PUBLIC]
    report = await ward.examine()
    assert finding(report, "dns", "address-refused").outcome is Outcome.WARN
    assert ward.probe.connected == ["192.0.2.10"]
    assert outcomes(report)["webdav"] == "ok"


async def test_never_more_than_some_addresses(ward: Ward) -> None:
    ward.probe.found = [HostAddress(f"192.0.2.{n}", "IPv4", True, True) for n in range(1, 200)]
    report = await ward.examine()
    assert len(ward.probe.connected) == 8
    assert len(report.of("dns").seen.summary) < 400


@pytest.mark.parametrize("code", ["tcp-refused", "tcp-timeout"])
async def test_no_connection(ward: Ward, code: str) -> None:
    ward.probe.connects["192.0.2.10"] = PeerUnreachable("192.0.2.10 does not take connections", code=code)
    report = await ward.examine()
    assert finding(report, "tcp", code).outcome is Outcome.FAIL
    assert finding(report, "tcp", code).them
    assert outcomes(report)["tls"] == "skipped"


async def test_one_of_two_addresses_is_dead(ward: Ward) -> None:
    ward.probe.found = [PUBLIC, PUBLIC_6]
    ward.probe.connects["2001:db8::10"] = PeerUnreachable("2001:db8::10 did not take a connection in time", code="tcp-timeout")
    report = await ward.examine()
    assert finding(report, "tcp", "tcp-timeout").outcome is Outcome.WARN
    assert "out of DNS" in finding(report, "tcp", "tcp-timeout").them


async def test_no_ipv6_here_is_a_warning_of_ours(ward: Ward) -> None:
    ward.probe.found = [PUBLIC, PUBLIC_6]
    ward.probe.connects["2001:db8::10"] = PeerUnreachable("no way", code="tcp-no-route")
    found = finding(await ward.examine(), "tcp", "tcp-no-route")
    assert (found.outcome, bool(found.us), found.them) == (Outcome.WARN, True, "")
    ward.probe.found = [PUBLIC_6]
    assert finding(await ward.examine(), "tcp", "tcp-no-route").outcome is Outcome.FAIL


# ---------------------------------------------------------------- tls
TLS = [
    (tls("tls-name", names=("other.example",)), "tls-name", "other.example"),
    (tls("tls-name", names=(), subject="old.example"), "tls-name", "old.example"),
    (tls("tls-expired", ends_at=NOW - 3 * DAY), "tls-expired", "3 days ago"),
    (tls("tls-expired", ends_at=NOW + 3 * DAY), "tls-expired", "of the chain"),
    (tls("tls-expired", begins_at=NOW + DAY), "tls-expired", "not valid before"),
    (tls("tls-untrusted", self_signed=True, chain=1), "tls-untrusted", "by itself"),
    (tls("tls-untrusted", chain=1), "tls-untrusted", "Only one certificate"),
    (tls("tls-untrusted", chain=None), "tls-untrusted", "No authority"),
    (PeerUnreachable("no way to speak TLS.", code="tls"), "tls", "TLS"),
]


@pytest.mark.parametrize(("shake", "code", "words"), TLS, ids=[f"{row[1]}: {row[2]}" for row in TLS])
async def test_a_bad_certificate(ward: Ward, shake: Any, code: str, words: str) -> None:
    ward.probe.shakes["192.0.2.10"] = shake
    report = await ward.examine()
    found = finding(report, "tls", code)
    assert found.outcome is Outcome.FAIL
    assert words in found.sentence
    assert outcomes(report)["discovery"] == "skipped"
    assert ward.away.network.asked == [], "nothing is said to a server that is not trusted"


@pytest.mark.parametrize(("days", "outcome"), [(13.9, "warn"), (14.1, "ok")])
async def test_a_certificate_that_ends_soon(ward: Ward, days: float, outcome: str) -> None:
    ward.probe.shakes["192.0.2.10"] = tls(ends_at=NOW + days * DAY)
    report = await ward.examine()
    assert outcomes(report)["tls"] == outcome
    assert codes(report, "tls") == (["tls-ends-soon"] if outcome == "warn" else [])
    assert report.of("tls").seen.facts["addresses"][0]["days_left"] == int(days)


async def test_two_addresses_with_two_certificates(ward: Ward) -> None:
    ward.probe.found = [PUBLIC, PUBLIC_6]
    ward.probe.shakes["2001:db8::10"] = tls("tls-expired", ends_at=NOW - DAY)
    report = await ward.examine()
    assert finding(report, "tls", "tls-expired").outcome is Outcome.FAIL


async def test_plain_http_by_policy_is_a_warning(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ward.away.network, "origin_of", lambda host: f"http://{host}")
    assert finding(await ward.examine(), "tls", "route-plain-http").outcome is Outcome.WARN


# ---------------------------------------------------------------- discovery
def at_all_places(ward: Ward, to: HttpAnswer) -> None:
    for path in PATHS:
        ward.answers("GET", path, to)


BROKEN = [
    (PAGE, "discovery-not-json", "reverse proxy"),
    (TO_LOGIN, "http-302", "single sign-on"),
    (answer(301, b"", location="/ocm-provider/"), "http-301", "without redirect"),
    (answer(404, b"nothing"), "http-404", "switched on"),
    (answer(500, b""), "http-500", "its operator looks into the log"),
    (answer(502, b"<html>Bad Gateway</html>", content_type="text/html"), "http-502", "its operator looks into the log"),
    (answer(405, b""), "http-405", "let it"),
    (document(b"{not json"), "discovery-not-json", "Correct"),
    (document({"enabled": True}), "discovery-invalid", "Correct"),
    (document({"enabled": False}), "discovery-disabled", "Switch"),
]


@pytest.mark.parametrize(("given", "code", "advice"), BROKEN, ids=[row[1] + " " + str(row[0].status) for row in BROKEN])
async def test_no_usable_document(ward: Ward, given: HttpAnswer, code: str, advice: str) -> None:
    at_all_places(ward, given)
    report = await ward.examine()
    found = finding(report, "discovery", code)
    assert found.outcome is Outcome.FAIL
    assert advice in found.them
    assert (outcomes(report)["signed"], outcomes(report)["keys"]) == ("skipped", "ok")
    assert "geheim" not in str(report), "the query of a redirect is nobody's business"


async def test_a_redirect_out_of_http_is_named_as_it_is(ward: Ward) -> None:
    at_all_places(ward, answer(302, b"", location="file:///etc/passwd?geheim"))
    assert "redirected to file:///etc/passwd (302)." in finding(await ward.examine(), "discovery", "http-302").sentence


async def test_all_that_a_document_lacks_is_named(ward: Ward) -> None:
    at_all_places(ward, document({"enabled": "yes"}))
    sentence = finding(await ward.examine(), "discovery", "discovery-invalid").sentence
    assert all(name in sentence for name in ("enabled", "endPoint", "resourceTypes"))


async def test_a_server_that_says_nothing(ward: Ward) -> None:
    ward.away.network.down.add("away.example")
    report = await ward.examine()
    assert finding(report, "discovery", "tcp-refused").outcome is Outcome.FAIL
    assert {outcomes(report)[step] for step in ("legacy", "keys", "clock", "signed", "webdav")} == {"skipped"}
    assert len(ward.away.network.asked) == 3, "nobody waits for keys, too"


async def test_a_document_only_at_the_older_place_will_do(ward: Ward) -> None:
    ward.answers("GET", "/.well-known/ocm", answer(404))
    report = await ward.examine()
    assert finding(report, "discovery", "discovery-legacy-only").outcome is Outcome.WARN
    assert outcomes(report)["signed"] == "ok"


async def test_nothing_at_the_older_place_is_a_note(ward: Ward) -> None:
    for path in PATHS[1:]:
        ward.answers("GET", path, answer(404))
    assert finding(await ward.examine(), "legacy", "legacy-missing").outcome is Outcome.OK


async def test_two_different_documents(ward: Ward) -> None:
    ward.answers("GET", "/ocm-provider/", document(ward.away.discovery | {"endPoint": "https://away.example/old"}))
    found = finding(await ward.examine(), "legacy", "discovery-differs")
    assert "endPoint" in found.sentence


WEBDAV = {"name": "file", "shareTypes": ["user"], "protocols": {"webdav": "/dav/ocm/"}}
FOLDER = WEBDAV | {"name": "folder"}
ODD = [
    ({"apiVersion": "1.0-proposal1"}, "api-version", "ok"),
    ({"apiVersion": "banana"}, "api-version", "warn"),
    ({"apiVersion": None}, "api-version", "warn"),
    ({"apiVersion": 1.1}, "api-version", "warn"),
    ({"endPoint": "http://away.example/ocm"}, "endpoint-http", "fail"),
    ({"endPoint": "https://other.example/ocm"}, "endpoint-elsewhere", "warn"),
    ({"endPoint": "https://away.example/ocm/"}, "endpoint-slash", "ok"),
    ({"tokenEndPoint": None}, "token-end-point-missing", "warn"),
    ({"tokenEndPoint": "http://away.example/ocm/token"}, "endpoint-http", "fail"),
    ({"capabilities": ["http-sig"], "criteria": ["must-exchange-token"]}, "offer-contradictory", "warn"),
    ({"jwksUri": "https://keys.example/jwks"}, "keys-elsewhere", "warn"),
    ({"capabilities": ["notifications"]}, "sig-not-announced", "warn"),
    ({"capabilities": ["shares"], "publicKey": {"keyId": "a", "publicKeyPem": "b"}}, "sig-cavage-only", "warn"),
    ({"resourceTypes": None, "shareTypes": [WEBDAV]}, "old-field-names", "ok"),
    ({"resourceTypes": WEBDAV}, "old-field-names", "ok"),
    ({"resourceTypes": [WEBDAV, WEBDAV]}, "resource-type-twice", "warn"),
    ({"resourceTypes": [FOLDER]}, "file-not-taken", "warn"),
    ({"resourceTypes": [WEBDAV]}, "folder-not-taken", "ok"),
    ({"resourceTypes": [FOLDER, WEBDAV]}, "file-not-first", "ok"),
    ({"resourceTypes": [WEBDAV | {"protocols": {}}, FOLDER | {"protocols": {}}]}, "webdav-path-missing", "warn"),
    ({"resourceTypes": [WEBDAV | {"protocols": {"webdav": {"uri": "/dav/ocm/"}}}]}, "webdav-path-form", "warn"),
    ({"resourceTypes": [WEBDAV | {"protocols": {"webdav": "dav/ocm/"}}]}, "webdav-path-form", "ok"),
    ({"resourceTypes": [WEBDAV | {"protocols": {"webdav": "/dav/ocm"}}]}, "webdav-path-form", "ok"),
    ({"criteria": ["must-invite"]}, "criteria-must-invite", "warn"),
    ({"criteria": ["allowlist"]}, "criteria-allowlist", "warn"),
    ({"capabilities": ["http-sig"]}, "notifications-not-announced", "ok"),
    ({"capabilities": ["/notifications", "http-sig"]}, "capability-slash", "ok"),
    ({"capabilities": ["teleport", "http-sig"]}, "words-unknown", "ok"),
    ({"criteria": ["full-moon"]}, "words-unknown", "ok"),
    ({"blink": True}, "words-unknown", "ok"),
    ({"resourceTypes": [WEBDAV, {"name": "talk-room", "protocols": {"talk-v1": "/x"}}]}, "words-unknown", "ok"),
    ({"provider": "oCIS"}, "known-server", "warn"),
    ({"provider": "OpenCloud"}, "known-server", "ok"),
    ({"provider": "reva"}, "known-server", "ok"),
    ({"endPoint": "https://away.example/ocm-via-webdav/"}, "known-server", "warn"),
]  # fmt: skip


OLDER: dict[str, Any] = {"capabilities": ["shares", "notifications"], "publicKey": {"keyId": "a", "publicKeyPem": "b"}}


@pytest.mark.parametrize(
    ("with_key", "is_taken", "outcome", "header"),
    [(True, True, Outcome.OK, "signature"), (False, True, Outcome.WARN, ""), (True, False, Outcome.WARN, "signature")],
)
async def test_a_server_that_signs_in_the_older_way(
    ward: Ward, with_key: bool, is_taken: bool, outcome: Outcome, header: str
) -> None:
    ward.says(**OLDER)
    ward.takes_cavage = is_taken
    ward.cavage_signer = MemoryCavageKey() if with_key else None
    report = await ward.examine()
    assert finding(report, "discovery", "sig-cavage-only").outcome is outcome
    (asked,) = ward.away.got("/ocm/notifications")
    assert {name for name in asked.headers if name.startswith("signature")} == ({header} if header else set())


@pytest.mark.parametrize(("changes", "code", "outcome"), ODD, ids=[f"{row[1]} {row[0]}"[:70] for row in ODD])
async def test_each_odd_thing_is_named(ward: Ward, changes: dict[str, Any], code: str, outcome: str) -> None:
    ward.says(**changes)
    report = await ward.examine()
    found = [finding for finding in report.of("discovery").seen.findings if finding.code == code]
    assert [finding.outcome.value for finding in found][:1] == [outcome]
    assert all(finding.us or finding.them for finding in found if finding.outcome is not Outcome.OK)


@pytest.mark.parametrize("provider", ["opencloudmesh", "opencloudmesh-go"])
async def test_our_own_kind_is_not_taken_for_another_product(ward: Ward, provider: str) -> None:
    ward.says(provider=provider)
    assert "known-server" not in codes(await ward.examine(), "discovery")


NEXTCLOUD_30 = {
    "enabled": True, "apiVersion": "1.0-proposal1", "endPoint": "https://away.example/ocm",
    "resourceTypes": [{"name": "file", "shareTypes": ["user", "group"], "protocols": {"webdav": "/public.php/webdav/"}}],
}  # fmt: skip
NEXTCLOUD_33 = NEXTCLOUD_30 | {
    "version": "1.1.0", "provider": "Nextcloud 33.0.0", "capabilities": ["invite-accepted", "notifications", "shares"],
    "publicKey": {"keyId": "https://away.example/ocm#signature", "publicKeyPem": "-----BEGIN PUBLIC KEY-----"},
}  # fmt: skip
OWNCLOUD_10 = {
    "enabled": True, "apiVersion": "1.0-proposal1", "endPoint": "https://away.example/index.php/apps/federatedfilesharing",
    "shareTypes": [{"name": "file", "protocols": {"webdav": "/public.php/webdav/"}}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("said", "words"), [(NEXTCLOUD_30, "Nextcloud 30"), (NEXTCLOUD_33, "draft-cavage"), (OWNCLOUD_10, "ownCloud 10")]
)
async def test_deployed_servers_are_known_by_their_documents(ward: Ward, said: dict[str, Any], words: str) -> None:
    ward.away.discovery = said
    ward.answers("GET", "/.well-known/jwks.json", answer(404))
    report = await ward.examine()
    assert words in finding(report, "discovery", "known-server").sentence
    assert finding(report, "keys", "keys-missing").outcome is Outcome.OK, "it does not say that it has any"
    assert finding(report, "discovery", "api-version").outcome is Outcome.OK


async def test_unsigned_servers_are_no_warning_where_we_take_unsigned_messages(ward: Ward) -> None:
    ward.says(capabilities=["notifications"])
    ward.signatures_required = False
    assert finding(await ward.examine(), "discovery", "sig-not-announced").outcome is Outcome.OK


async def test_the_content_type_of_the_document(ward: Ward) -> None:
    ward.answers("GET", "/.well-known/ocm", document(ward.away.discovery, content_type="text/plain"))
    assert finding(await ward.examine(), "discovery", "content-type").outcome is Outcome.WARN


async def test_what_a_server_says_is_shown_short(ward: Ward) -> None:
    ward.says(provider="x" * 10_000, capabilities=["http-sig", *(f"c{n}" * 100 for n in range(500))])
    report = await ward.examine()
    assert len(report.of("discovery").seen.summary) <= 200
    assert all(len(found.sentence) < 1500 for found in report.of("discovery").seen.findings)
    assert len(str(report.of("discovery").seen.facts)) < 8000


# ---------------------------------------------------------------- keys
def rsa_jwk(bits: int, kid: str) -> dict[str, str]:
    key = rsa.generate_private_key(65537, bits).public_key()
    jwk = build_jwk(key, kid=kid, algorithm="rsa-v1_5-sha256")
    return jwk


def publish(ward: Ward, *keys: Any) -> None:
    ward.away.key_set = {"keys": list(keys)}


async def test_keys_and_what_is_odd_with_them(ward: Ward) -> None:
    good = ward.away.key_set["keys"][0]
    publish(
        ward,
        good,
        good | {"kid": "away.example#again"},
        rsa_jwk(1024, "away.example#weak"),
        good | {"kid": "away.example#secret", "d": "AAAA"},
        good | {"kid": "old.example#1"},
        good | {"kid": "bare"},
        {name: value for name, value in good.items() if name != "kid"},
    )
    report = await ward.examine()
    found = codes(report, "keys")
    assert sorted(set(found)) == sorted(
        {"keys-weak", "keys-unusable", "keys-duplicate", "keys-kid-elsewhere", "keys-kid-hostless", "keys-nameless"}
    )
    assert "1024 bits" in finding(report, "keys", "keys-weak").sentence
    assert outcomes(report)["keys"] == "warn"
    assert "AAAA" not in str(report)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (answer(404), "http-404"),
        (PAGE, "answer-web-page"),
        (TO_LOGIN, "http-302"),
        (document([]), "keys-invalid"),
        (document({"keys": []}), "keys-missing"),
    ],
)
async def test_a_server_that_signs_and_has_no_keys(ward: Ward, given: HttpAnswer, code: str) -> None:
    ward.says(jwksUri=None)
    ward.answers("GET", "/.well-known/jwks.json", given)
    assert finding(await ward.examine(), "keys", code).outcome is Outcome.FAIL


async def test_keys_at_the_place_that_the_document_names(ward: Ward) -> None:
    ward.says(jwksUri="https://away.example/keys")
    ward.answers("GET", "/.well-known/jwks.json", answer(404))
    ward.answers("GET", "/keys", lambda _: document(ward.away.key_set))
    assert outcomes(await ward.examine())["keys"] == "ok"


# ---------------------------------------------------------------- clock
@pytest.mark.parametrize(
    ("ahead", "outcome"), [(0, "ok"), (4, "ok"), (-4, "ok"), (30, "warn"), (-30, "warn"), (90, "fail"), (-400, "fail")]
)
async def test_the_clock_difference(ward: Ward, ahead: float, outcome: str) -> None:
    at_all_places(ward, document(ward.away.discovery, at=NOW + ahead))
    report = await ward.examine()
    assert outcomes(report)["clock"] == outcome
    if outcome != "ok":
        found = finding(report, "clock", "clock-difference")
        assert ("ahead of" if ahead > 0 else "behind") in found.sentence
        assert found.us
        assert found.them


async def test_the_round_trip_is_no_clock_difference(ward: Ward) -> None:
    def slow(_: Any) -> HttpAnswer:
        ward.time.advance(8.0)
        return document(ward.away.discovery, at=ward.time.now - 8.0)

    for path in PATHS:
        ward.answers("GET", path, slow)
    assert outcomes(await ward.examine())["clock"] == "ok"


async def test_an_answer_from_a_cache_is_as_old_as_it_says(ward: Ward) -> None:
    at_all_places(ward, document(ward.away.discovery, at=NOW - 500, age="500"))
    assert outcomes(await ward.examine())["clock"] == "ok"


@pytest.mark.parametrize("date", ["", "yesterday", "Tue, 99 Foo 2026"])
async def test_a_server_without_a_clock(ward: Ward, date: str) -> None:
    at_all_places(ward, document(ward.away.discovery, date=date))
    assert codes(await ward.examine(), "clock") == ["clock-unknown"]


# ---------------------------------------------------------------- signed message
@pytest.mark.parametrize("status", [400, 403, 404, 409, 501])
async def test_refused_for_its_content_is_what_one_hopes_for(ward: Ward, status: int) -> None:
    ward.answers("POST", "/ocm/notifications", document({"message": "RESOURCE_NOT_FOUND"}, status=status))
    report = await ward.examine()
    assert (outcomes(report)["signed"], codes(report, "signed")) == ("ok", [])


SIGNED = [
    (document({"message": "sig-keys-unavailable"}, status=401), "signature-refused", "could not fetch our keys"),
    (document({"message": "sig-stale"}, status=401), "signature-refused", "clocks"),
    (document({"message": "sig-key-not-pinned"}, status=401), "signature-refused", "ocm keys list"),
    (document({"message": "sig-digest"}, status=401), "signature-refused", "changes the body"),
    (answer(401, b""), "signature-refused", "ocm doctor without a peer"),
    (document({"message": "Invalid signature"}, status=400), "signature-refused", "log of your server"),
    (document({"message": "missing digest in header"}, status=400), "signature-refused", "log of your server"),
    (document({"message": "policy-denied"}, status=403), "refused-by-peer", "allow"),
    (document({"code": "UNTRUSTED_SERVICE", "message": "x"}, status=403), None, ""),
    (answer(404, b"not here"), "http-404", "endPoint"),
    (answer(405, b""), "http-405", "reverse proxy"),
    (TO_LOGIN, "http-302", "single sign-on"),
    (PAGE, "answer-web-page", "reverse proxy"),
    (answer(403, b"<html>Forbidden</html>"), "http-403", "reverse proxy"),
    (document({"message": "slow down"}, status=429), "http-429", "Wait"),
    (answer(500, b"oops"), "http-500", "log"),
    (answer(502, b""), "http-502", "log"),
]


@pytest.mark.parametrize(("given", "code", "advice"), SIGNED, ids=[f"{row[1]} {row[0].body[:30]!r}" for row in SIGNED])
async def test_what_the_answer_to_a_signed_message_means(ward: Ward, given: HttpAnswer, code: str | None, advice: str) -> None:
    ward.answers("POST", "/ocm/notifications", given)
    report = await ward.examine()
    if code is None:
        assert codes(report, "signed") == []
        return
    found = finding(report, "signed", code)
    assert found.outcome is (Outcome.WARN if code == "http-429" else Outcome.FAIL)
    assert advice in found.us + found.them


async def test_a_server_that_ignores_notifications_proves_nothing(ward: Ward) -> None:
    ward.answers("POST", "/ocm/notifications", answer(201, b""))
    assert finding(await ward.examine(), "signed", "notifications-ignored").outcome is Outcome.OK


# ---------------------------------------------------------------- webdav
@pytest.mark.parametrize(
    ("given", "code", "outcome"),
    [
        (answer(401, b""), "webdav-no-challenge", "ok"),
        (answer(401, b"<html>log in</html>", www_authenticate="Basic"), None, "ok"),
        (answer(403, b""), "webdav-no-challenge", "ok"),
        (answer(207, b"<multistatus/>"), "webdav-open", "warn"),
        (answer(404, b""), "http-404", "fail"),
        (answer(405, b""), "http-405", "fail"),
        (TO_LOGIN, "http-302", "fail"),
        (PAGE, "answer-web-page", "fail"),
        (answer(503, b""), "http-503", "fail"),
    ],
)
async def test_the_webdav_root(ward: Ward, given: HttpAnswer, code: str | None, outcome: str) -> None:
    ward.answers("PROPFIND", "/dav/ocm/", given)
    report = await ward.examine()
    assert outcomes(report)["webdav"] == outcome
    assert codes(report, "webdav") == ([code] if code else [])


async def test_a_document_without_webdav_path(ward: Ward) -> None:
    ward.says(resourceTypes=[{"name": "file", "shareTypes": ["user"], "protocols": {}}])
    assert finding(await ward.examine(), "webdav", "webdav-path-missing").outcome is Outcome.FAIL


# ---------------------------------------------------------------- nothing secret
async def test_no_body_of_an_answer_is_reported(ward: Ward) -> None:
    for path in ("/ocm/notifications",):
        ward.answers("POST", path, answer(400, b"geheim geheim"))
    ward.answers("PROPFIND", "/dav/ocm/", answer(500, b"geheim"))
    report: Report = await ward.examine()
    assert "geheim" not in str(report)
