"""Trust: what denies always wins, then what was allowed one by one, then the mode."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.protocol.errors import InvalidInput
from opencloudmesh.protocol.trust import (
    DEMANDS,
    MODES,
    OFF,
    QUARANTINE,
    REFUSE,
    Allowed,
    Denied,
    TrustFacts,
    criteria_of,
    decide_trust,
    is_pattern,
    parse_subject,
    subjects_allowing,
    subjects_denying,
)

ALLOWED = TrustFacts(allowed_by="a.example")
MEMBER = TrustFacts(is_member=True)
STRANGER = TrustFacts()

modes = st.sampled_from(MODES)
entries = st.sampled_from(["", "a.example", ".example"])
all_facts = st.builds(TrustFacts, denied_by=entries, allowed_by=entries, is_member=st.booleans())


@given(modes, all_facts, st.booleans())
def test_who_is_denied_always_loses(mode: str, facts: TrustFacts, quarantine: bool) -> None:
    decision = decide_trust(mode, facts, quarantine=quarantine)
    if facts.denied_by:
        assert decision == Denied("denylisted", "This server is denied.")
    assert decision.reason
    assert decision.sentence.endswith(".")


@given(modes, all_facts.filter(lambda facts: not facts.denied_by), st.booleans())
def test_who_was_allowed_is_dealt_with_in_every_mode(mode: str, facts: TrustFacts, quarantine: bool) -> None:
    decision = decide_trust(mode, facts, quarantine=quarantine)
    if facts.allowed_by:
        assert isinstance(decision, Allowed)
        assert not decision.only_known, "the operator's word is enough"
    elif isinstance(decision, Allowed):
        assert mode in ("open", "invite-only") or facts.is_member


@given(modes, all_facts)
def test_a_denial_more_never_allows_more(mode: str, facts: TrustFacts) -> None:
    denied = TrustFacts(denied_by=".example", allowed_by=facts.allowed_by, is_member=facts.is_member)
    assert isinstance(decide_trust(mode, denied), Denied)


@pytest.mark.parametrize(
    ("mode", "facts", "reason", "only_known", "quarantine"),
    [
        ("open", STRANGER, "mode-open", False, True),
        ("open", ALLOWED, "operator-allowed", False, False),
        ("invite-only", STRANGER, "mode-invite-only", False, True),
        ("invite-only", ALLOWED, "operator-allowed", False, False),
        ("allowlist", ALLOWED, "operator-allowed", False, True),
        ("federation", ALLOWED, "operator-allowed", False, True),
        ("federation", MEMBER, "federation-member", False, True),
    ],
)
def test_who_is_dealt_with_and_how(mode: str, facts: TrustFacts, reason: str, only_known: bool, quarantine: bool) -> None:
    decision = decide_trust(mode, facts, quarantine=True)
    assert isinstance(decision, Allowed)
    assert (decision.reason, decision.only_known, decision.quarantine) == (reason, only_known, quarantine)
    assert decision.asks_for_sender is (only_known or quarantine)
    without = decide_trust(mode, facts)
    assert isinstance(without, Allowed)
    assert not without.quarantine
    assert without.only_known is (reason == "mode-invite-only"), "refused, where they are not kept apart"


@pytest.mark.parametrize("ours", DEMANDS)
@pytest.mark.parametrize("theirs", DEMANDS)
def test_of_two_demands_the_stricter_counts(ours: str, theirs: str) -> None:
    allowed = Allowed("mode-open", "All are.", only_known=ours == REFUSE, quarantine=ours == QUARANTINE)
    both = allowed.with_demand(theirs)
    assert (allowed.demand, both.demand) == (ours, max(ours, theirs, key=(OFF, QUARANTINE, REFUSE).index))
    assert (both.reason, both.sentence) == (allowed.reason, allowed.sentence)


@pytest.mark.parametrize(
    ("mode", "facts", "reason"),
    [
        ("allowlist", STRANGER, "not-allowlisted"),
        ("allowlist", MEMBER, "not-allowlisted"),
        ("federation", STRANGER, "not-federated"),
        ("open", TrustFacts(denied_by="a.example", allowed_by="a.example"), "denylisted"),
    ],
)
def test_who_is_not(mode: str, facts: TrustFacts, reason: str) -> None:
    decision = decide_trust(mode, facts)
    assert isinstance(decision, Denied)
    assert decision.reason == reason


@pytest.mark.spec("DISC-8")
@pytest.mark.parametrize(
    ("mode", "denies", "words"),
    [
        ("open", False, ()),
        ("open", True, ("denylist",)),
        ("invite-only", False, ("must-invite",)),
        ("allowlist", True, ("denylist", "allowlist")),
        ("federation", False, ("allowlist",)),
    ],
)
def test_criteria_name_what_is_in_force(mode: str, denies: bool, words: tuple[str, ...]) -> None:
    assert criteria_of(mode, denies=denies) == words


# ---------------------------------------------------------------- subjects
@pytest.mark.parametrize(
    ("text", "subject"),
    [
        (" Cloud.Example.ORG:443 ", "cloud.example.org"),
        ("cloud.example.org:8443", "cloud.example.org:8443"),
        (".Example.org", ".example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
    ],
)
def test_a_subject_is_canonical(text: str, subject: str) -> None:
    assert parse_subject(text) == subject
    assert parse_subject(subject) == subject
    assert is_pattern(subject) is text.startswith(".")


NO_SUBJECTS = ["", ".", "..example", "https://a.example", "alice@a.example", "a.example/x"]
NO_DOMAINS = [".example.org:8443", ".127.0.0.1", ".[::1]", ".[::1]:80"]


@pytest.mark.parametrize("text", [*NO_SUBJECTS, *NO_DOMAINS, "*.example", "*."])
def test_what_is_no_subject(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_subject(text)
    assert refusal.value.code == "host-invalid"


def test_a_wildcard_is_told_how_it_is_written() -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_subject(" *.example.org")
    assert refusal.value.hint.endswith(" .example.org")


def test_which_entries_are_about_a_host() -> None:
    assert list(subjects_allowing("b.a.example:8443")) == ["b.a.example:8443", ".a.example", ".example"]
    assert list(subjects_denying("b.a.example:8443")) == ["b.a.example:8443", "b.a.example", ".a.example", ".example"]
    assert list(subjects_denying("a.example")) == ["a.example", ".example"]
    assert list(subjects_denying("[2001:db8::1]:8443")) == ["[2001:db8::1]:8443", "[2001:db8::1]"]
