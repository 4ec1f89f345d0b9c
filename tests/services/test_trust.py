"""Decisions at run time: allow, deny, forget, modes, pins, alerts, the audit log, and who hears of them."""

import asyncio
from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest

from opencloudmesh.protocol.errors import Conflict, InvalidInput, NotFound, SignatureRefused, TemporarilyUnavailable
from opencloudmesh.protocol.http_signatures import Request
from opencloudmesh.protocol.http_signatures.signature_base import fields_of, signature_base
from opencloudmesh.services.peers import Peers, TrustBook
from opencloudmesh.services.peers.taken_signatures import PROFILE_NAMES
from opencloudmesh.services.ports import Database, Transaction
from opencloudmesh.services.records import User
from tests.services.home import make_home, make_peers
from tests.services.office import ACT, Office, make_office
from tests.services.queue import new_share
from tests.services.world import NOW, SimulatedNetwork, SimulatedServer, SimulatedTime, settle

AWAY = "away.example"


@pytest.fixture
def office(database: Database, peers: Peers, time: SimulatedTime) -> Office:
    """At a server that is open to all."""
    return make_office(database, peers, time, TrustBook())


@pytest.fixture
def bound(database: Database, network: SimulatedNetwork, time: SimulatedTime) -> Office:
    """At a server whose configuration denies one server and allows another."""
    book = TrustBook.configured(allowlist=("friend.example",), denylist=("foe.example", ".bad.example"))
    return make_office(database, make_peers(database, network, time, book), time, book)


async def meet(office: Office, host: str = AWAY) -> None:
    """Deal with a server once."""
    await office.peers.key_set(host)
    await office.database.write(lambda tx: tx.peers.set_contact(host, NOW))
    await office.peers.key_set(host, fresh=True)


# ---------------------------------------------------------------- decisions
async def test_denied_allowed_and_forgotten(office: Office) -> None:
    assert office.peers.is_allowed(AWAY)
    assert await office.decisions.deny("AWAY.example", ACT) == (AWAY, (await office.decisions.deny(AWAY, ACT))[1])
    assert not office.peers.is_allowed(AWAY)
    explained = office.peers.trust.explain(AWAY)
    assert (explained.decision.reason, explained.entry is not None) == ("denylisted", True)
    assert "Decided by the operator: because." in explained.sentence
    assert await office.decisions.allow(AWAY, ACT) == (AWAY, 0)
    assert office.peers.trust.explain(AWAY).decision.reason == "operator-allowed"
    assert await office.decisions.forget(AWAY, ACT) == (AWAY, 0)
    assert office.peers.trust.explain(AWAY).entry is None
    said = [(action, before, after) for _, action, _, before, after, _ in await office.acts()]
    assert said == [("deny", "", "deny"), ("deny", "deny", "deny"), ("allow", "deny", "allow"), ("forget", "allow", "")]
    with pytest.raises(NotFound) as raised:
        await office.decisions.forget(AWAY, ACT)
    assert raised.value.code == "peer-unknown"


class Slow:
    """A database whose first answer is long on its way."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.read_once, self.answered = asyncio.Event(), asyncio.Event()

    async def read(self, work: Any) -> Any:
        found = await self.database.read(work)
        if not self.read_once.is_set():
            self.read_once.set()
            await self.answered.wait()
        return found


async def test_what_was_read_before_a_decision_does_not_undo_it(office: Office, database: Database) -> None:
    slow = Slow(database)
    office.watch._db = slow  # type: ignore[assignment]
    before = asyncio.create_task(office.watch.load())
    await slow.read_once.wait()
    deciding = asyncio.create_task(office.decisions.deny(AWAY, ACT))
    await settle(database)
    slow.answered.set()
    await asyncio.gather(before, deciding)
    assert not office.peers.is_allowed(AWAY)


async def test_a_pattern_denies_all_below_and_one_cannot_be_allowed_under_it(office: Office) -> None:
    await office.decisions.deny(".away.example", ACT)
    assert not office.peers.is_allowed("a.b.away.example:8443")
    with pytest.raises(Conflict) as raised:
        await office.decisions.allow("a.away.example", ACT)
    assert raised.value.code == "still-denied"
    assert "ocm peer forget .away.example" in raised.value.hint
    assert not office.peers.is_allowed("a.away.example")
    assert [action for _, action, *_ in await office.acts()] == ["deny"], "what was refused was not done"


@pytest.mark.parametrize("subject", ["", "a b", "https://away.example/x", "*.away.example", "..example", "a@b.example"])
async def test_what_is_no_host_is_refused(office: Office, subject: str) -> None:
    for decide in (office.decisions.allow, office.decisions.deny, office.decisions.forget, office.decisions.pin):
        with pytest.raises(InvalidInput):
            await decide(subject, ACT)
    assert await office.acts() == []


@pytest.mark.parametrize("subject", ["foe.example", "x.bad.example", ".bad.example"])
async def test_what_the_configuration_denies_stays_denied(bound: Office, subject: str) -> None:
    with pytest.raises(Conflict) as raised:
        await bound.decisions.allow(subject, ACT)
    assert (raised.value.code, "trust.denylist" in raised.value.sentence) == ("decided-in-configuration", True)
    assert not bound.peers.is_allowed(subject.lstrip("."))


async def test_what_the_configuration_allows_can_be_denied_and_is_not_forgotten(bound: Office) -> None:
    with pytest.raises(Conflict) as raised:
        await bound.decisions.forget("friend.example", ACT)
    assert (raised.value.code, "ocm peer deny" in raised.value.hint) == ("decided-in-configuration", True)
    await bound.decisions.deny("friend.example", ACT)
    assert not bound.peers.is_allowed("friend.example")
    await bound.decisions.forget("friend.example", ACT)
    assert bound.peers.is_allowed("friend.example")


async def test_modes_and_quarantine_at_run_time(bound: Office) -> None:
    assert bound.peers.trust.mode == "allowlist"
    book, _ = await bound.decisions.set_mode("open", ACT)
    assert (book.mode, book.mode_source) == ("open", "operator")
    assert bound.peers.is_allowed("stranger.example")
    assert not bound.peers.is_allowed("foe.example")
    assert (await bound.decisions.set_mode("invite-only", ACT))[0].criteria == ("denylist", "must-invite")
    assert (await bound.decisions.set_mode(None, ACT))[0].mode_source == "configuration"
    assert (await bound.decisions.set_quarantine(True, ACT)).quarantine
    assert not (await bound.decisions.set_quarantine(False, ACT)).quarantine
    book = await bound.decisions.set_quarantine(None, ACT)
    assert (book.quarantine, book.quarantine_source) == (False, "configuration")
    with pytest.raises(InvalidInput) as raised:
        await bound.decisions.set_mode("closed", ACT)
    assert raised.value.code == "mode-unknown"
    modes = [(action, before, after) for _, action, _, before, after, _ in await bound.acts()]
    assert modes[:3] == [("trust.mode", "", "open"), ("trust.mode", "open", "invite-only"), ("trust.mode", "invite-only", "")]


async def test_an_empty_federation_or_allowlist_is_warned_of(office: Office) -> None:
    assert "no Directory Service" in (await office.decisions.set_mode("federation", ACT))[0].warnings[0]
    assert "no server is allowed" in (await office.decisions.set_mode("allowlist", ACT))[0].warnings[0]
    await office.decisions.allow(AWAY, ACT)
    assert office.peers.trust.warnings == ()


# ---------------------------------------------------------------- hearing of it
async def test_another_process_hears_of_it(
    office: Office, database: Database, network: SimulatedNetwork, time: SimulatedTime
) -> None:
    other = make_office(database, make_peers(database, network, time), time, TrustBook())
    await other.decisions.deny(AWAY, ACT)
    assert office.peers.is_allowed(AWAY)
    await office.watch.look()
    assert not office.peers.is_allowed(AWAY)
    assert len(office.heard) == 1
    await office.watch.look()
    assert len(office.heard) == 1, "nothing new"


async def test_a_database_that_cannot_be_read_changes_nothing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    await office.decisions.deny(AWAY, ACT)

    async def broken(work: object) -> None:
        raise TemporarilyUnavailable("No.", retry_after=1)

    with monkeypatch.context() as patch:
        patch.setattr(office.database, "read", broken)
        await office.watch.look()
    assert not office.peers.is_allowed(AWAY)


# ---------------------------------------------------------------- the registry
async def test_a_server_that_messages_wait_for_is_known_though_it_was_never_met(
    office: Office, away: SimulatedServer, alice: User
) -> None:
    def give(tx: Transaction) -> None:
        share = tx.outgoing_shares.add(new_share(alice, "dead.example"))
        tx.deliveries.add(
            peer="dead.example", kind="K", user_id=alice.id, outgoing_share_id=share.id, due_at=NOW, expires_at=NOW + 9, at=NOW
        )

    await meet(office)
    await office.database.write(give)
    assert [peer.record.host for peer in await office.registry.page()] == ["dead.example", AWAY]
    assert [peer.record.host for peer in await office.registry.page(limit=1)] == [AWAY]
    assert [peer.record.host for peer in await office.registry.page(after="dead.example")] == [], "once"
    assert await office.registry.page(after=AWAY) == []
    peer = await office.registry.peer("dead.example")
    assert (peer.counts.waiting, peer.counts.given, peer.record.first_contact) == (1, {"pending": 1}, 0.0)
    with pytest.raises(NotFound):
        await office.registry.peer("unheard-of.example")


async def test_what_is_known_of_a_server(office: Office, away: SimulatedServer) -> None:
    await meet(office)
    await office.decisions.deny(AWAY, ACT)
    (peer,) = await office.registry.page()
    assert (peer.record.host, peer.trust.is_allowed, peer.record.decision_reason) == (AWAY, False, "because")
    assert [key.kid for key in (await office.registry.peer(AWAY)).keys] == [away.kid]
    with pytest.raises(NotFound) as unknown:
        await office.registry.peer("nobody.example")
    assert unknown.value.sentence.endswith("By the mode: Every server that is not denied may offer shares.")
    assert await office.registry.page(after=AWAY) == []


@pytest.mark.parametrize(("stored", "provider"), [("", None), ("[]", None), ('{"provider": "Away"}', "Away")])
async def test_what_a_server_says_of_itself_is_shown(office: Office, stored: str, provider: str | None) -> None:
    await office.database.write(lambda tx: tx.peers.set_discovery(AWAY, stored, NOW))
    found = (await office.registry.peer(AWAY)).discovery
    assert (found and found["provider"]) == provider


async def test_a_server_that_the_book_names_is_shown_though_it_was_never_met(bound: Office) -> None:
    peer = await bound.registry.peer("foe.example")
    assert (peer.trust.is_allowed, peer.record.first_contact) == (False, 0.0)


async def test_patterns_are_no_servers(office: Office) -> None:
    await office.decisions.deny(".away.example", ACT)
    assert await office.registry.page() == []


async def test_the_audit_log_by_subject_and_in_pages(office: Office, time: SimulatedTime) -> None:
    await office.decisions.deny("a.example", ACT)
    time.advance(10)
    await office.decisions.deny("b.example", ACT)
    await office.decisions.allow("b.example", ACT)
    assert [act.action for act in await office.registry.audit(subject="b.example")] == ["allow", "deny"]
    assert len(await office.registry.audit(since=NOW + 5)) == 2
    (newest,) = await office.registry.audit(limit=1)
    (older,) = await office.registry.audit(limit=1, before_id=newest.id)
    assert (newest.action, older.action) == ("allow", "deny")


async def test_forgetting_everything(office: Office, away: SimulatedServer) -> None:
    await meet(office)
    await office.decisions.forget(AWAY, ACT, everything=True)
    assert await office.registry.page() == []
    with pytest.raises(NotFound):
        await office.registry.peer(AWAY)


async def test_a_server_with_living_shares_is_not_forgotten_and_a_denial_tells_what_it_concerns(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: object
) -> None:
    home = make_home(database, network, time)
    office = make_office(database, home.peers, time, TrustBook())
    await home.reception.receive(away.share())
    with pytest.raises(Conflict) as raised:
        await office.decisions.forget(AWAY, ACT, everything=True)
    assert raised.value.code == "peer-in-use"
    _, affected = await office.decisions.deny(".example", ACT)
    assert (affected.given, affected.received, affected.waiting) == (0, 1, 0)


async def test_users_see_why_a_share_cannot_be_reached_and_that_it_can_again(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: User
) -> None:
    home = make_home(database, network, time)
    office = make_office(database, home.peers, time, TrustBook())
    given, _ = await home.creation.create(alice, path="notes", share_with=f"dora@{AWAY}", permissions=("read",), expires_at=None)
    await home.reception.receive(away.share())

    async def reasons() -> set[str]:
        (received,) = await home.reception.inbox(alice)
        listed = [*await home.creation.shares(alice), received]
        shown = [await home.creation.share(alice, given.id), await home.reception.incoming(alice, received.id)]
        return {share.reason for share in [*listed, *shown]}

    assert await reasons() == {""}
    await office.decisions.deny(AWAY, ACT)
    assert await reasons() == {"policy-denied"}
    await office.decisions.forget(AWAY, ACT)
    assert await reasons() == {""}
    await home.creation.unshare(alice, given.id)
    await office.decisions.deny(AWAY, ACT)
    assert (await home.creation.share(alice, given.id)).reason == "", "what has ended has its own reason"


# ---------------------------------------------------------------- keys
async def test_pinned_keys_are_the_only_ones_taken(
    office: Office, away: SimulatedServer, network: SimulatedNetwork, time: SimulatedTime
) -> None:
    await meet(office)
    (key,) = await office.decisions.pin(AWAY, ACT)
    assert office.peers.trust.pinned_keys(AWAY) == {key.thumbprint}
    await office.peers.verify(away.share(at=time.now), AWAY)
    time.advance(4000)
    other = SimulatedServer(network, AWAY)  # the same host with another key
    with pytest.raises(SignatureRefused) as raised:
        await office.peers.verify(other.share(at=time.now), AWAY)
    assert raised.value.code == "sig-key-not-pinned"
    with pytest.raises(Conflict) as conflict:
        await office.decisions.pin(AWAY, ACT)
    assert conflict.value.code == "pinned-otherwise"
    (renewed,) = await office.decisions.pin(AWAY, ACT, renew=True)
    assert renewed.thumbprint != key.thumbprint
    await office.peers.verify(other.share(at=time.now), AWAY)
    assert await office.decisions.unpin(AWAY, ACT) == AWAY
    assert office.peers.trust.pinned_keys(AWAY) is None


# ---------------------------------------------------------------- signatures
def signed_for(server: SimulatedServer, draft: str, *, at: float) -> Request:
    """A share that is signed as one draft alone has it."""
    share = server.share(at=at)
    label = "ocm" if draft == "draft-05" else "sig1"
    parameters = dict(share.headers)["signature-input"].removeprefix("ocm=")
    if draft == "draft-05":
        parameters = parameters.replace(';tag="ocm"', "")
    components = parameters[1 : parameters.index(")")].replace('"', "").split()
    base = signature_base(share, fields_of(share.headers), components, parameters)
    signature = b64encode(server.key.sign(base)).decode()
    others = tuple(pair for pair in share.headers if not pair[0].startswith("signature"))
    added = (("signature-input", f"{label}={parameters}"), ("signature", f"{label}=:{signature}:"))
    return replace(share, headers=(*others, *added))


async def taken(office: Office, away: SimulatedServer, draft: str) -> str:
    """The code of the refusal, or empty."""
    try:
        await office.peers.verify(signed_for(away, draft, at=NOW), AWAY)
    except SignatureRefused as error:
        return error.code
    return ""


@pytest.mark.spec("NEXT-1")
@pytest.mark.parametrize(
    ("profiles", "refused"),
    [
        (("draft-05", "draft-07"), {"draft-05": "", "draft-07": ""}),
        (("draft-05",), {"draft-05": "", "draft-07": "sig-missing"}),
        (("draft-07",), {"draft-05": "sig-missing", "draft-07": ""}),
    ],
)
async def test_the_configuration_says_which_signatures_are_taken(
    database: Database,
    network: SimulatedNetwork,
    time: SimulatedTime,
    away: SimulatedServer,
    profiles: tuple[str, ...],
    refused: dict[str, str],
) -> None:
    book = TrustBook.configured(profiles=profiles)
    office = make_office(database, make_peers(database, network, time, book), time, book)
    assert {draft: await taken(office, away, draft) for draft in refused} == refused
    await office.peers.verify(away.share(), AWAY)  # what we sign ourselves satisfies each of them


async def test_an_operator_takes_other_signatures_from_one_server(office: Office, away: SimulatedServer) -> None:
    assert await office.decisions.set_profiles(AWAY, ["draft-07"], ACT) == ("draft-07",)
    assert [await taken(office, away, draft) for draft in ("draft-05", "draft-07")] == ["sig-missing", ""]
    peer = await office.registry.peer(AWAY)
    assert peer.record.profiles == ("draft-07",)
    other = await office.decisions.set_profiles(AWAY, ["draft-05", "draft-05"], ACT)
    assert other == ("draft-05",)
    assert office.peers.trust.signatures_of("b.example").names == PROFILE_NAMES
    assert await office.decisions.set_profiles(AWAY, [], ACT) == PROFILE_NAMES
    assert [await taken(office, away, draft) for draft in ("draft-05",)] == [""]
    assert await office.acts() == [
        (ACT.actor, "profiles", AWAY, "", "draft-07", ACT.reason),
        (ACT.actor, "profiles", AWAY, "draft-07", "draft-05", ACT.reason),
        (ACT.actor, "profiles", AWAY, "draft-05", "", ACT.reason),
    ]
    with pytest.raises(InvalidInput) as raised:
        await office.decisions.set_profiles(AWAY, ["draft-99"], ACT)
    assert raised.value.code == "profile-unknown"


async def test_profiles_of_a_server_that_was_never_met_leave_nothing_when_they_are_taken_back(office: Office) -> None:
    await office.decisions.set_profiles("b.example", [], ACT)
    assert await office.database.read(lambda tx: tx.peers.get("b.example")) is None
    await office.decisions.set_profiles("b.example", ["draft-05"], ACT)
    await office.decisions.allow("b.example", ACT)
    await office.decisions.forget("b.example", ACT)
    assert office.peers.trust.signatures_of("b.example").names == ("draft-05",), "only the decision was forgotten"
    await office.decisions.set_profiles("b.example", [], ACT)
    assert await office.database.read(lambda tx: tx.peers.get("b.example")) is None


async def test_keys_that_changed_at_once_are_an_alert_until_somebody_looked(
    office: Office, away: SimulatedServer, network: SimulatedNetwork, time: SimulatedTime
) -> None:
    await meet(office)
    time.advance(4000)
    SimulatedServer(network, AWAY)
    await office.peers.key_set(AWAY, fresh=True)
    peer = await office.registry.peer(AWAY)
    assert peer.record.alert.startswith("keys-replaced: ")
    assert [key.gone_at is None for key in peer.keys] == [False, True]
    assert [(actor, action) for actor, action, *_ in await office.acts()] == [("server", "key-alert")]
    await office.decisions.acknowledge(AWAY, ACT)
    assert (await office.registry.peer(AWAY)).record.alert == ""
    told = await office.acts()
    with pytest.raises(NotFound) as raised:
        await office.decisions.acknowledge(AWAY, ACT)
    assert (raised.value.code, await office.acts()) == ("alert-none", told)
    for act in (office.decisions.acknowledge, office.decisions.unpin):
        with pytest.raises(NotFound):
            await act("nobody.example", ACT)
    with pytest.raises(InvalidInput):
        await office.decisions.pin(".away.example", ACT)


async def test_a_key_beside_the_pinned_ones_is_an_alert_that_ends_with_the_pin(office: Office, away: SimulatedServer) -> None:
    await meet(office)
    await office.decisions.pin(AWAY, ACT)
    other = SimulatedServer(SimulatedNetwork(), AWAY)
    away.key_set["keys"] = [*away.key_set["keys"], *other.key_set["keys"]]
    await office.peers.key_set(AWAY, fresh=True)
    assert (await office.registry.peer(AWAY)).record.alert.startswith("keys-not-pinned: ")
    await office.decisions.unpin(AWAY, ACT)
    assert (await office.registry.peer(AWAY)).record.alert == ""


async def test_a_server_without_keys_cannot_be_pinned(office: Office, away: SimulatedServer) -> None:
    await meet(office)
    away.key_set["keys"] = []
    with pytest.raises(Conflict) as raised:
        await office.decisions.pin(AWAY, ACT, renew=True)
    assert raised.value.code == "keys-none"
    assert office.peers.trust.pinned_keys(AWAY) is None
