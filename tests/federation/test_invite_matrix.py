"""The Invite Flow between two real servers and a hostile third one: whatever goes wrong is said to who waits for it, changes
nothing that it should not, and makes no contact twice.

Every step of a user is a command; what both sides know is read from both sides' lists before and after.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from opencloudmesh import bootstrap
from opencloudmesh.cli.main import main
from opencloudmesh.cli.session_file import StoredSession, save_session
from opencloudmesh.protocol.invite_flow import FORM, Identity, Invite, build_invite_acceptance, build_invite_string, parse_invite
from opencloudmesh.services.records import Secret
from tests.federation.peer import SimulatedPeer, json_answer, unsigned
from tests.federation.relay import RelayedSite, relay
from tests.federation.secrets_told import told
from tests.federation.site import Site, User
from tests.federation.wire import Answer, free_port, wait_until

PATH = "/ocm/invite-accepted"
JSON = [("content-type", "application/json")]
INVITES = ("http-sig", "invites", "notifications")


# ---------------------------------------------------------------- the stage
@pytest.fixture(scope="module")
def inviting(start_site: Callable[..., Site]) -> Iterator[Site]:
    """The server of who invites, behind a relay at its public address."""
    with ExitStack() as stack:

        def relayed(*arguments: Any) -> RelayedSite:
            site = RelayedSite(*arguments)
            site.relay = stack.enter_context(relay(site.port, site.inner_port, PATH))
            return site

        yield start_site("inviting", ["ann", "ben", "gone"], None, relayed)


@pytest.fixture(scope="module")
def invited(start_site: Callable[..., Site]) -> Site:
    """The server of who is invited."""
    return start_site("matrix", ["ida"])


@dataclass
class Stage:
    """Both servers, their people, and the command line."""

    inviting: RelayedSite
    invited: Site
    peer: SimulatedPeer
    stranger: SimulatedPeer
    folder: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    users: dict[str, User]

    def ocm(self, who: str, *arguments: str) -> tuple[int, str]:
        """What a user's command ends with, and all that it says."""
        config = self.folder / who
        self.monkeypatch.setenv("OCM_CONFIG_DIR", str(config))
        user = self.users[who]
        save_session(StoredSession(user.site.at, who, "", "", Secret(user.token), 4e9))
        status = main(arguments)
        printed = self.capsys.readouterr()
        return status, printed.out + printed.err

    def accepts(self, text: str, who: str = "ida") -> tuple[int, str]:
        return self.ocm(who, "invite", "accept", text)

    def made(self, who: str = "ann", **what: Any) -> Any:
        made = self.users[who].api("POST", "/invites", what)
        told.add(made["invite"])
        told.add(parse_invite(made["invite"]).token)
        return made

    def invite(self, who: str = "ann") -> Invite:
        return parse_invite(self.made(who)["invite"])

    def of_peer(self, answer: Answer | None = None, **introduction: Any) -> str:
        """An invite of the hostile server, which answers that to an acceptance."""
        self.peer.introduce(**({"capabilities": INVITES} | introduction))
        if answer is not None:
            self.peer.answers["POST", PATH] = answer
        return build_invite_string(Invite(told.new(), self.peer.host))

    def known(self) -> dict[str, Any]:
        """What every list of both sides says."""
        lists = {name: user.api("GET", "/contacts")["items"] for name, user in self.users.items() if name != "gone"}
        return lists | {f"{name}'s": self.users[name].api("GET", "/invites")["items"] for name in ("ann", "ben")}

    def contacts(self, who: str) -> list[str]:
        return [one["address"] for one in self.users[who].api("GET", "/contacts")["items"]]

    def state(self, invite_id: int) -> str:
        return next(str(one["state"]) for one in self.users["ann"].api("GET", "/invites")["items"] if one["id"] == invite_id)

    def forget_everybody(self) -> None:
        for name in ("ann", "ben", "ida"):
            for one in self.users[name].api("GET", "/contacts")["items"]:
                assert self.users[name].ask_api("DELETE", f"/contacts/{one['id']}").status == 200


@pytest.fixture(scope="module")
def users(inviting: Site, invited: Site) -> dict[str, User]:
    """All of both sides, each with a session."""
    return {name: User(inviting, name) for name in ("ann", "ben", "gone")} | {"ida": User(invited, "ida")}


@pytest.fixture
def stage(
    inviting: RelayedSite,
    invited: Site,
    users: dict[str, User],
    peer: SimulatedPeer,
    stranger: SimulatedPeer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stage]:
    stage = Stage(inviting, invited, peer, stranger, tmp_path, capsys, monkeypatch, users)
    yield stage
    inviting.relay.asked = inviting.relay.answered = lambda: False
    stage.forget_everybody()


# ---------------------------------------------------------------- what is refused to who was invited
def expired(stage: Stage) -> str:
    made = stage.made()
    stage.inviting.write("update invites set expires_at = ? where id = ?", time.time() - 1, made["id"])
    return str(made["invite"])


def revoked(stage: Stage) -> str:
    made = stage.made()
    assert stage.ocm("ann", "invite", "revoke", str(made["id"]))[0] == 0
    return str(made["invite"])


def made_afresh(stage: Stage) -> str:
    made = stage.made()
    again = stage.users["ann"].api("POST", f"/invites/{made['id']}/renew", {})
    told.add(again["invite"])
    told.add(parse_invite(again["invite"]).token)
    return str(made["invite"])


def of_a_user_who_is_gone(stage: Stage) -> str:
    invite = stage.made("gone")["invite"]
    stage.inviting.write("update users set disabled = 1 where name = 'gone'")
    return str(invite)


def accepted_elsewhere(stage: Stage) -> str:
    invite = stage.invite()
    assert stage.stranger.post(stage.inviting.origin, PATH, acceptance(stage, invite, stage.stranger)).status == 200
    return build_invite_string(invite)


def answering(answer: Answer, **introduction: Any) -> Callable[[Stage], str]:
    return lambda stage: stage.of_peer(answer, **introduction)


def saying(**identity: Any) -> Callable[[Stage], str]:
    return answering(json_answer(200, {"userID": "carol", "email": "", "name": "Carol"} | identity))


def of_another_host(stage: Stage) -> str:
    return stage.of_peer(json_answer(200, {"userID": f"ann@{stage.inviting.host}/", "email": "", "name": "Ann"}))


NO = {"message": "NO"}
REFUSED: Mapping[str, tuple[Callable[[Stage], str], str, str]] = {
    "expired": (expired, "invite-refused", "Ask for a new invite"),
    "revoked": (revoked, "invite-refused", "Ask for a new invite"),
    "made afresh": (made_afresh, "invite-refused", "Ask for a new invite"),
    "of a user who is gone": (of_a_user_who_is_gone, "invite-refused", "Ask for a new invite"),
    "of nobody": (lambda stage: f"{told.new()}@{stage.inviting.host}", "invite-refused", "does not know this invite"),
    "accepted elsewhere": (accepted_elsewhere, "invite-used", "tell who invited you"),
    "no invite": (lambda stage: "n/a", "invite-invalid", "Copy the whole invite"),
    "400": (answering(json_answer(400, NO)), "invite-refused", "Ask for a new invite"),
    "401": (answering(json_answer(401, NO)), "invite-untrusted", "ocm doctor"),
    "403": (answering(json_answer(403, NO)), "invite-untrusted", "Its operator decides whom to trust"),
    "404": (answering(json_answer(404, NO)), "invite-refused", "Ask for a new invite"),
    "404 without invites": (answering(json_answer(404, NO), capabilities=("http-sig",)), "invites-unsupported", "no part in"),
    "409": (answering(json_answer(409, NO)), "invite-used", "accepted before"),
    "429": (answering(json_answer(429, NO)), "http-429", "in some minutes"),
    "500": (answering(Answer(500, {}, b"<h1>oh")), "http-500", "same invite again later"),
    "elsewhere": (answering(Answer(302, {"location": "http://127.0.0.2/"})), "http-302", "again later"),
    "garbage": (answering(Answer(200, {"content-type": "application/json"}, b"\xff{")), "answer-invalid", "does not say who"),
    "a list": (answering(json_answer(200, [])), "answer-invalid", "does not say who"),
    "without userID": (saying(userID=""), "answer-invalid", "does not say who"),
    "userID of controls": (saying(userID="a\x07\x1b[31m"), "answer-invalid", "does not say who"),
    "userID of 300": (saying(userID="a" * 300), "answer-invalid", "does not say who"),
    "userID as a number": (saying(userID=7), "answer-invalid", "does not say who"),
    "name as a list": (saying(name=[]), "answer-invalid", "does not say who"),
    "409 of controls": (answering(json_answer(409, {"userID": "a\n"})), "answer-invalid", "does not say who"),
    "of another host": (of_another_host, "answer-invalid", "does not say who"),
    "nobody there": (lambda stage: f"{told.new()}@127.0.0.1:{free_port()}", "tcp-refused", "same invite again later"),
}


@pytest.mark.spec("INV-1", "INV-4")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_accepted_is_explained_and_changes_nothing(stage: Stage, name: str) -> None:
    arrange, code, says = REFUSED[name]
    text = arrange(stage)
    before = stage.known()
    status, said = stage.accepts(text)
    assert (status, f"({code})" in said or code in said) == (1, True), said
    assert says in said
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", said)
    assert stage.known() == before


@pytest.mark.spec("INV-12")
def test_nobody_accepts_an_invite_of_the_own_server(stage: Stage) -> None:
    invite = str(stage.made()["invite"])
    before = stage.known()
    for who, code, says in (("ann", "own-invite", "an invite of your own"), ("ben", "own-server", "made on this server")):
        status, said = stage.accepts(invite, who)
        assert (status, code in said, says in said) == (1, True, True), said
    assert stage.known() == before


# ---------------------------------------------------------------- what is refused to other servers
def acceptance(stage: Stage, invite: Invite, by: Any, **fields: Any) -> dict[str, Any]:
    who = Identity(fields.pop("userID", "mallory"), "", "Mallory")
    message = json.loads(build_invite_acceptance(invite, recipient_provider=by.host, acceptor=who))
    return {name: value for name, value in (message | fields).items() if value is not None}


def send(stage: Stage, message: Any, by: SimulatedPeer, **how: Any) -> Answer:
    return by.post(stage.inviting.origin, PATH, message, **how)


def without_signature(stage: Stage, invite: Invite) -> Answer:
    body = json.dumps(acceptance(stage, invite, stage.stranger)).encode()
    headers = stage.stranger.signed(stage.inviting.origin + PATH, "application/json", body)
    return stage.inviting.ask("POST", PATH, unsigned(headers), body)


def signed_by_another(stage: Stage, invite: Invite) -> Answer:
    keyid = stage.peer.signer.keyid
    return send(stage, acceptance(stage, invite, stage.peer), stage.stranger, keyid=keyid)


def signed_for_another_body(stage: Stage, invite: Invite) -> Answer:
    body = json.dumps(acceptance(stage, invite, stage.stranger)).encode()
    headers = stage.stranger.signed(stage.inviting.origin + PATH, "application/json", body)
    return stage.inviting.ask("POST", PATH, headers, body.replace(b"mallory", b"mallorx"))


def with_fields(**fields: Any) -> Callable[[Stage, Invite], Answer]:
    return lambda stage, invite: send(stage, acceptance(stage, invite, stage.stranger, **fields), stage.stranger)


def in_the_name_of(host: Callable[[Stage], str]) -> Callable[[Stage, Invite], Answer]:
    return lambda stage, invite: send(
        stage, acceptance(stage, invite, stage.stranger, recipientProvider=host(stage)), stage.stranger
    )


OUTSIDE: Mapping[str, tuple[Callable[[Stage, Invite], Answer], int, str]] = {
    "unsigned": (without_signature, 401, "sig-missing"),
    "wrong signer": (signed_by_another, 401, "sig-mismatch"),
    "another body": (signed_for_another_body, 401, "sig-digest"),
    "forged recipientProvider": (in_the_name_of(lambda stage: stage.peer.host), 403, "sender-not-signer"),
    "the victim's own name": (in_the_name_of(lambda stage: stage.inviting.host), 403, "sender-not-signer"),
    "the invited one's name": (in_the_name_of(lambda stage: stage.invited.host), 403, "sender-not-signer"),
    "guessed": (with_fields(token="0" * 32), 400, "invite-unknown"),
    "no token": (with_fields(token=None), 400, "invalid-message"),
    "token of 5000": (with_fields(token="x" * 5000), 400, "invalid-message"),
    "token of controls": (with_fields(token="a\x00b"), 400, "invalid-message"),
    "no userID": (with_fields(userID=""), 400, "invalid-message"),
    "userID of controls": (with_fields(userID="mallory\r\nX: y"), 400, "invalid-message"),
    "userID of 300": (with_fields(userID="m" * 300), 400, "invalid-message"),
    "userID of another host": (with_fields(userID="ceo@bank.example/"), 400, "invalid-message"),
    "recipientProvider of controls": (with_fields(recipientProvider="a\x00.example"), 400, "invalid-message"),
    "recipientProvider of 2000": (with_fields(recipientProvider="a" * 2000), 400, "invalid-message"),
    "name as a number": (with_fields(name=7), 400, "invalid-message"),
    "email as a list": (with_fields(email=[]), 400, "invalid-message"),
    "a list": (lambda stage, invite: send(stage, b"[]", stage.stranger), 400, "invalid-message"),
    "no UTF-8": (lambda stage, invite: send(stage, b"\xff", stage.stranger), 400, "invalid-message"),
    "text": (lambda stage, invite: send(stage, b"x", stage.stranger, content_type="text/plain"), 415, ""),
}


@pytest.mark.spec("INV-5")
@pytest.mark.parametrize("name", OUTSIDE)
def test_a_third_server_gets_nothing_and_the_invite_goes_on(stage: Stage, name: str) -> None:
    attack, status, code = OUTSIDE[name]
    invite = stage.invite()
    before = stage.known()
    answer = attack(stage, invite)
    assert (answer.status, answer.json["message"] if code else "") == (status, code)
    assert b"Ann" not in answer.body
    assert stage.known() == before
    status, said = stage.accepts(build_invite_string(invite))
    assert (status, "Ann is your contact now" in said) == (0, True), said


@pytest.mark.spec("INV-4")
def test_what_deployed_servers_send_is_taken(stage: Stage) -> None:
    fields = acceptance(stage, stage.invite(), stage.stranger)
    fields["userId"] = fields.pop("userID")
    answer = send(stage, urlencode(fields).encode(), stage.stranger, content_type=FORM)
    assert (answer.status, answer.json["name"]) == (200, "Ann")
    assert stage.contacts("ann") == [f"mallory@{stage.stranger.host}"]


def test_texts_of_a_stranger_are_shown_inert(stage: Stage) -> None:
    evil = "\x1b]0;x\x07<b>\u202e" + "n" * 4000
    assert send(stage, acceptance(stage, stage.invite(), stage.stranger, name=evil, email=evil), stage.stranger).status == 200
    assert stage.accepts(stage.of_peer(json_answer(200, {"userID": "carol", "email": evil, "name": evil})))[0] == 0
    for who in ("ann", "ida"):
        (one,) = stage.users[who].api("GET", "/contacts")["items"]
        assert (len(one["name"]) <= 255, len(one["email"]) <= 320) == (True, True)
        said = stage.ocm(who, "contacts", "list")[1]
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", said)


# ---------------------------------------------------------------- must-invite, of one user
@pytest.mark.spec("INV-11")
def test_who_demands_an_invite_hears_of_nobody_else(stage: Stage) -> None:
    ann, ida = stage.users["ann"], stage.users["ida"]
    try:
        assert "are refused" in stage.ocm("ida", "invite", "only", "refuse")[1]
        ann.make_folder("unasked")
        given = ann.share("unasked", ida.address)
        assert (ann.state_of(given), ida.received(given["provider_id"])) == ("failed", None)
        assert "sender-unknown" in stage.ocm("ann", "deliveries")[1]
        criteria = json.loads(stage.invited.ask("GET", "/.well-known/ocm").body).get("criteria", [])
        assert "must-invite" not in criteria, "others take shares of everybody"
        assert stage.accepts(str(stage.made()["invite"]))[0] == 0
        is_given = ann.share("unasked", stage.contacts("ann")[0])
        assert ida.received(is_given["provider_id"])["sender_known"] is True
    finally:
        stage.ocm("ida", "invite", "only", "off")
    assert stage.ocm("ida", "invite", "only") == (0, "Everybody may offer you shares.\n")


# ---------------------------------------------------------------- twice, and at the same instant
@pytest.mark.spec("INV-4", "INV-6")
def test_twice_is_the_same_and_changes_nothing(stage: Stage) -> None:
    invite = str(stage.made()["invite"])
    assert stage.accepts(invite)[0] == 0
    before = stage.known()
    status, said = stage.accepts(invite)
    assert (status, "Ann is your contact now" in said) == (0, True)
    assert [{**one, "last_seen_at": 0} for one in stage.known()["ida"]] == [{**one, "last_seen_at": 0} for one in before["ida"]]
    assert {name: found for name, found in stage.known().items() if name != "ida"} == {
        name: found for name, found in before.items() if name != "ida"
    }
    replay = send(stage, acceptance(stage, parse_invite(invite), stage.stranger), stage.stranger)
    assert (replay.status, replay.json["message"], "userID" in replay.json) == (409, "invite-used", False)


def test_a_token_is_that_of_who_made_it(stage: Stage) -> None:
    stage.made("ann")
    assert "Ben is your contact now" in stage.accepts(str(stage.made("ben")["invite"]))[1]
    assert (stage.contacts("ann"), len(stage.contacts("ben")), len(stage.contacts("ida"))) == ([], 1, 1)


def test_who_accepted_cannot_become_somebody_else(stage: Stage) -> None:
    invite = stage.invite()
    assert send(stage, acceptance(stage, invite, stage.stranger), stage.stranger).status == 200
    changed = send(stage, acceptance(stage, invite, stage.stranger, userID="trent"), stage.stranger)
    assert (changed.status, "userID" in changed.json) == (409, False)
    same = send(stage, acceptance(stage, invite, stage.stranger, name="Another name"), stage.stranger)
    assert (same.status, same.json["name"]) == (409, "Ann")
    (one,) = stage.users["ann"].api("GET", "/contacts")["items"]
    assert (one["address"], one["name"]) == (f"mallory@{stage.stranger.host}", "Mallory")


def test_a_server_that_says_somebody_else_changes_nothing_about_that_contact(stage: Stage) -> None:
    stage.accepts(stage.of_peer(json_answer(200, {"userID": "carol", "email": "c@x.example", "name": "Carol"})))
    (carol,) = stage.users["ida"].api("GET", "/contacts")["items"]
    stage.users["ida"].api("POST", f"/contacts/{carol['id']}", {"name": "My Carol", "trusted": True})
    assert stage.accepts(stage.of_peer(json_answer(200, {"userID": "carol", "email": "m@x.example", "name": "Mallory"})))[0] == 0
    (after,) = stage.users["ida"].api("GET", "/contacts")["items"]
    assert (after["name"], after["email"], after["trusted"]) == ("My Carol", "c@x.example", True)


def test_two_servers_at_the_same_instant(stage: Stage) -> None:
    invite = stage.invite()
    with ThreadPoolExecutor() as both:
        sent = [both.submit(send, stage, acceptance(stage, invite, by), by) for by in (stage.peer, stage.stranger)]
    assert sorted(one.result().status for one in sent) == [200, 409]
    assert len(stage.contacts("ann")) == 1


def test_the_same_acceptance_at_the_same_instant(stage: Stage) -> None:
    made, ida = stage.made(), stage.users["ida"]
    with ThreadPoolExecutor() as both:
        sent = [both.submit(ida.ask_api, "POST", "/invites/accept", {"invite": made["invite"]}) for _ in range(4)]
    assert {(one.result().status, one.result().json["name"]) for one in sent} == {(200, "Ann")}
    assert (len(stage.contacts("ida")), len(stage.contacts("ann")), stage.state(made["id"])) == (1, 1, "accepted")


# ---------------------------------------------------------------- crashes, and names that change
def is_whole(stage: Stage, invite_id: int) -> None:
    """Each has the other, once; they share in both directions."""
    (ida,), (ann,) = stage.contacts("ann"), stage.contacts("ida")
    assert stage.state(invite_id) == "accepted"
    for giving, address, taking in (("ann", ida, "ida"), ("ida", ann, "ann")):
        folder = f"of {giving} {invite_id}"
        stage.users[giving].make_folder(folder)
        given = stage.users[giving].share(folder, address)
        taken = wait_until(lambda taking=taking, given=given: stage.users[taking].received(given["provider_id"]))
        assert taken["sender_known"] is True


@pytest.mark.spec("INV-6")
def test_killed_before_it_wrote(stage: Stage) -> None:
    made = stage.made()
    stage.inviting.relay.asked = lambda: stage.inviting.kill() or True
    status, said = stage.accepts(str(made["invite"]))
    assert (status, "same invite again later" in said) == (1, True), said
    stage.inviting.relay.asked = lambda: False
    stage.inviting.start()
    assert (stage.state(made["id"]), stage.contacts("ann"), stage.contacts("ida")) == ("open", [], [])
    assert stage.accepts(str(made["invite"]))[0] == 0
    is_whole(stage, made["id"])


@pytest.mark.spec("INV-6")
def test_killed_between_its_write_and_that_of_the_other(stage: Stage) -> None:
    made = stage.made()
    stage.inviting.relay.answered = lambda: stage.inviting.kill() or True
    status, said = stage.accepts(str(made["invite"]))
    assert (status, "same invite again later" in said) == (1, True), said
    stage.inviting.relay.answered = lambda: False
    stage.inviting.start()
    assert (stage.state(made["id"]), len(stage.contacts("ann")), stage.contacts("ida")) == ("accepted", 1, [])
    assert stage.accepts(str(made["invite"]))[0] == 0
    is_whole(stage, made["id"])


@pytest.mark.spec("INV-6")
def test_the_invited_side_killed_before_its_write(stage: Stage) -> None:
    made = stage.made()
    stage.inviting.relay.answered = lambda: stage.invited.kill() or True
    status, said = stage.accepts(str(made["invite"]))
    assert (status, "run the same command again" in said.lower()) == (4, True), said
    stage.inviting.relay.answered = lambda: False
    stage.invited.start()
    assert (stage.state(made["id"]), len(stage.contacts("ann")), stage.contacts("ida")) == ("accepted", 1, [])
    assert stage.accepts(str(made["invite"]))[0] == 0
    is_whole(stage, made["id"])


def test_down_after_it_was_made_and_another_name_when_it_comes_back(stage: Stage) -> None:
    """The last one: the inviting server has another name afterwards."""
    made = stage.made()
    token = parse_invite(made["invite"]).token
    site, old = stage.inviting, stage.inviting.host
    site.stop()
    status, said = stage.accepts(str(made["invite"]))
    assert (status, "same invite again later" in said) == (1, True), said
    for key in (site.folder / "keys").glob("*"):
        if key.name == "ring.json" or key.name.startswith("signing"):
            key.unlink()
    config, name = site.folder / "opencloudmesh.toml", f"127.0.0.1:{free_port()}"
    config.write_text(config.read_text().replace(f'"http://{old}"', f'"http://{name}"'))
    bootstrap.initialise(site.folder, f"http://{name}", site.listen)
    with relay(int(name.rpartition(":")[2]), site.inner_port, PATH):
        site.start()
        site.relay.asked = lambda: True  # the old name leads nowhere
        status, said = stage.accepts(str(made["invite"]))
        assert (status, stage.contacts("ida"), stage.contacts("ann")) == (1, [], []), said
        assert stage.state(made["id"]) == "open"
        assert "Ann is your contact now" in stage.accepts(f"{token}@{name}")[1]
        assert stage.contacts("ida") == [f"{ida_knows(stage)}@{name}"]
        is_whole(stage, made["id"])


def ida_knows(stage: Stage) -> str:
    """The identifier of ann."""
    return stage.contacts("ida")[0].rpartition("@")[0]
