"""When a received share is unavailable, and when it is gone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.protocol.availability import (
    Answered,
    Availability,
    Away,
    Finding,
    RefusalRule,
    Refused,
    after,
    finding_of,
    is_gone,
)
from opencloudmesh.protocol.errors import (
    AccessDenied,
    Conflict,
    DeniedByPeer,
    ForbiddenByPeer,
    GrantRefused,
    MissingAtPeer,
    NotFound,
    OCMError,
    PeerDown,
    PeerRefused,
    PeerUnreachable,
    TemporarilyUnavailable,
)

HOUR = 3600.0
RULE = RefusalRule()
NEVER_ENDS = (401, 407, 408, 425, 429, 500, 502, 503, 504)


# ---------------------------------------------------------------- what an error says
def http(status: int) -> PeerRefused:
    return PeerRefused("No.", code=f"http-{status}", status=status)


def missing(status: int = 404, *, by_application: bool = True) -> MissingAtPeer:
    return MissingAtPeer("No.", code="what-the-peer-says", peer_status=status, by_application=by_application)


@pytest.mark.parametrize(
    "code", ["dns", "tcp-refused", "tcp-timeout", "tls-expired", "tls-name", "idle-timeout", "connection-lost"]
)
@pytest.mark.parametrize("at_root", [True, False])
def test_who_does_not_answer_is_away(code: str, at_root: bool) -> None:
    assert finding_of(PeerUnreachable("No.", code=code), at_root=at_root) == Away(code)
    assert finding_of(PeerDown("No.", code=code, since=1.0, retry_after=1.0), at_root=at_root) == Away(code)


@pytest.mark.parametrize("status", NEVER_ENDS)
@pytest.mark.parametrize("at_root", [True, False])
def test_what_never_ends_a_share(status: int, at_root: bool) -> None:
    assert finding_of(http(status), at_root=at_root) == Away(f"http-{status}")


@pytest.mark.parametrize("status", [403, 404, 410])
def test_the_word_of_the_application_at_the_root_is_a_refusal(status: int) -> None:
    kind = ForbiddenByPeer if status == 403 else MissingAtPeer
    error = kind("No.", code="x", peer_status=status, by_application=True)
    assert finding_of(error, at_root=True) == Refused(f"http-{status}")
    assert finding_of(error, at_root=False) is None, "a file inside may be missing"
    silent = kind("No.", code="x", peer_status=status, by_application=False)
    assert finding_of(silent, at_root=True) == Away(f"http-{status}"), "an answer without a word may be a proxy's"
    assert finding_of(http(status), at_root=True) == Away(f"http-{status}"), "a web page"
    assert finding_of(http(status), at_root=False) is None


def test_a_method_that_is_not_offered_says_nothing_of_the_share() -> None:
    assert finding_of(http(501), at_root=False) is None
    assert finding_of(http(501), at_root=True) == Away("http-501")


@pytest.mark.spec("CODE-5")
def test_invalid_grant_is_a_refusal_and_other_words_of_a_token_endpoint_are_not() -> None:
    assert finding_of(GrantRefused("No.", status=400), at_root=False) == Refused("token-refused")
    assert finding_of(PeerRefused("No.", code="token-refused", status=500), at_root=False) == Away("token-refused")


@pytest.mark.parametrize("at_root", [True, False])
def test_a_server_that_does_not_deal_with_us_ends_no_share(at_root: bool) -> None:
    for status in (400, 401):
        assert finding_of(DeniedByPeer("No.", status=status), at_root=at_root) == Away("refused-by-peer")


def test_invalid_answers_are_of_the_whole_share_and_local_faults_of_nobody() -> None:
    assert finding_of(PeerRefused("No.", code="answer-invalid"), at_root=False) == Away("answer-invalid")
    faults: list[OCMError] = [NotFound("x"), AccessDenied("x", code="mfa-required"), Conflict("x"), TemporarilyUnavailable("x")]
    for fault in faults:
        assert finding_of(fault, at_root=True) is None


def test_what_the_peer_calls_it_is_not_our_reason() -> None:
    assert finding_of(missing(), at_root=True) == Refused("http-404")
    assert missing().code == "what-the-peer-says"
    assert MissingAtPeer("x", code=None, peer_status=404, by_application=True).code == "not-found"


# ---------------------------------------------------------------- what is remembered
def run(findings: list[tuple[float, Finding]], rule: RefusalRule = RULE) -> tuple[Availability, bool]:
    known, gone = Availability(), False
    for at, finding in findings:
        known = after(known, finding, at, rule)
        gone = gone or is_gone(known, rule)
    return known, gone


def test_five_refusals_over_a_day_end_a_share() -> None:
    known, gone = run([(number * 6 * HOUR, Refused("http-404")) for number in range(5)])
    assert gone
    assert known == Availability(0.0, "http-404", 5, 0.0, 24 * HOUR)


def test_four_do_not_and_five_in_less_than_a_day_do_not() -> None:
    assert not run([(number * 8 * HOUR, Refused("http-404")) for number in range(4)])[1]
    assert not run([(number * 5.9 * HOUR, Refused("http-404")) for number in range(5)])[1]


def test_many_clients_at_once_count_as_one() -> None:
    known, gone = run([(day * 23 * HOUR + second, Refused("http-403")) for day in range(2) for second in range(1000)])
    assert (known.refusals, gone) == (2, False)


def test_a_time_out_between_neither_counts_nor_begins_anew() -> None:
    refusals: list[tuple[float, Finding]] = [(number * 6 * HOUR, Refused("http-404")) for number in range(4)]
    known, gone = run([*refusals, (19 * HOUR, Away("tcp-timeout"))])
    assert (known.unavailable_since, known.reason, known.refusals, gone) == (0.0, "tcp-timeout", 4, False)
    assert run([*refusals, (19 * HOUR, Away("tcp-timeout")), (24 * HOUR, Refused("http-404"))])[1]


def test_a_clock_that_was_set_back_begins_anew() -> None:
    known, _ = run([(100 * HOUR, Refused("http-404")), (106 * HOUR, Refused("http-404")), (1 * HOUR, Refused("http-404"))])
    assert (known.refusals, known.refused_since, known.refused_at) == (1, HOUR, HOUR)


def test_small_rules() -> None:
    assert run([(0.0, Refused("http-404"))], RefusalRule(1, 0.0))[1]
    assert not run([(0.0, Refused("http-404"))], RefusalRule(1, 10.0))[1]
    assert run([(0.0, Refused("http-404")), (10.0, Refused("http-404"))], RefusalRule(1, 10.0))[1]
    assert not is_gone(Availability(), RefusalRule(0, 0.0))


FINDINGS = st.one_of(
    st.just(Answered()),
    st.sampled_from(["dns", "tcp-timeout", *(f"http-{status}" for status in NEVER_ENDS)]).map(Away),
    st.sampled_from(["http-404", "http-403", "token-refused"]).map(Refused),
)
TIMES = st.lists(st.tuples(st.floats(0.0, 20 * HOUR), FINDINGS), max_size=60)


def timed(steps: list[tuple[float, Finding]]) -> list[tuple[float, Finding]]:
    at, found = 0.0, []
    for step, finding in steps:
        at += step
        found.append((at, finding))
    return found


@given(TIMES)
def test_only_refusals_end_a_share(steps: list[tuple[float, Finding]]) -> None:
    findings = [(at, finding) for at, finding in timed(steps) if not isinstance(finding, Refused)]
    known, gone = run(findings)
    assert not gone
    assert known.refusals == 0


@given(TIMES)
def test_what_ends_a_share_is_enough_refusals_over_long_enough_without_a_success(steps: list[tuple[float, Finding]]) -> None:
    known = Availability()
    in_a_row: list[float] = []
    for at, finding in timed(steps):
        known = after(known, finding, at, RULE)
        if isinstance(finding, Answered):
            in_a_row = []
        elif isinstance(finding, Refused):
            in_a_row.append(at)
        if is_gone(known, RULE):
            assert isinstance(finding, Refused)
            assert len(in_a_row) >= RULE.refusals
            assert in_a_row[-1] - in_a_row[0] >= RULE.seconds
            spread = [in_a_row[0]]
            for moment in in_a_row:
                if moment - spread[-1] >= RULE.spacing:
                    spread.append(moment)
            assert len(spread) >= RULE.refusals
            return


@given(TIMES, FINDINGS)
def test_since_is_the_first_time_and_a_success_forgets_everything(steps: list[tuple[float, Finding]], last: Finding) -> None:
    findings = timed(steps)
    known, _ = run(findings)
    bad: list[float] = []
    for at, finding in findings:
        bad = [] if isinstance(finding, Answered) else [*bad, at]
    assert known.unavailable_since == (bad[0] if bad else None)
    assert after(known, Answered(), 1e9, RULE) == Availability()
    again = after(known, last, 1e9, RULE)
    assert after(again, last, 1e9, RULE) == again, "the same finding at the same time changes nothing more"
