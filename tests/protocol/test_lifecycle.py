"""The state tables: closed, and kind to repeated events."""

import pytest

from opencloudmesh.protocol import lifecycle
from opencloudmesh.protocol.lifecycle import (
    DELIVERY,
    INCOMING_SHARE,
    INVITE,
    OUTGOING_SHARE,
    RECEIVED_REQUEST,
    REQUEST_LINK,
    SENT_REQUEST,
    InvalidTransition,
    Table,
    next_state,
)

TABLES = {
    "outgoing": OUTGOING_SHARE,
    "incoming": INCOMING_SHARE,
    "delivery": DELIVERY,
    "sent request": SENT_REQUEST,
    "received request": RECEIVED_REQUEST,
    "request link": REQUEST_LINK,
}
every_table = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())


def run(table: Table, state: str, *events: str) -> str:
    for event in events:
        state = next_state(table, state, event)
    return state


def test_the_states_are_those_of_the_design() -> None:
    assert set(OUTGOING_SHARE) == {"pending", "sent", "accepted", "declined", "revoked", "expired", "failed"}
    assert set(INCOMING_SHARE) == {"pending", "accepted", "declined", "revoked", "expired", "left"}
    assert set(DELIVERY) == {"queued", "leased", "done", "dead"}


@every_table
def test_no_event_leads_out_of_the_table(table: Table) -> None:
    assert {target for row in table.values() for target in row.values()} <= set(table)


@every_table
def test_an_event_that_comes_twice_changes_nothing_the_second_time(table: Table) -> None:
    for state, row in table.items():
        for event in row:
            if event in (lifecycle.LEASE, lifecycle.REQUEUE, lifecycle.RETRY, lifecycle.GRANT):
                continue  # our own commands, not reports that can be repeated
            once = next_state(table, state, event)
            assert next_state(table, once, event) == once, (state, event)


@pytest.mark.spec("NOTIF-5")
@pytest.mark.parametrize(
    "events", [("accept",), ("decline",), ("deliver", "accept"), (), ("deliver", "accept", "decline"), ("fail",), ("expire",)]
)
def test_an_outgoing_share_can_be_revoked_from_any_state_and_stays_so(events: tuple[str, ...]) -> None:
    assert run(OUTGOING_SHARE, "pending", *events, "revoke") == "revoked"
    assert run(OUTGOING_SHARE, "pending", *events, "revoke", "deliver", "decline", "expire", "fail") == "revoked"
    assert "revoked" not in lifecycle.GIVES_ACCESS


def test_an_answer_may_overtake_the_report_of_the_delivery() -> None:
    assert run(OUTGOING_SHARE, "pending", "accept", "deliver") == "accepted"
    assert run(OUTGOING_SHARE, "pending", "decline", "deliver", "fail") == "declined"
    assert run(OUTGOING_SHARE, "pending", "accept", "fail") == "accepted"


def test_a_failed_share_can_be_tried_again() -> None:
    assert run(OUTGOING_SHARE, "pending", "fail", "retry", "deliver") == "sent"
    assert run(OUTGOING_SHARE, "pending", "fail", "accept") == "accepted"


@pytest.mark.spec("NOTIF-5")
@pytest.mark.parametrize(
    ("state", "after"), [("pending", "revoked"), ("accepted", "revoked"), ("declined", "revoked"), ("left", "left")]
)
def test_unsharing_ends_a_received_share(state: str, after: str) -> None:
    assert next_state(INCOMING_SHARE, state, "revoke") == after


@pytest.mark.parametrize("state", list(INCOMING_SHARE))
def test_a_received_share_can_be_left_from_any_state(state: str) -> None:
    assert next_state(INCOMING_SHARE, state, "leave") == "left"


def test_a_delivery_is_leased_tried_again_and_done() -> None:
    assert run(DELIVERY, "queued", "lease", "requeue", "lease", "lease", "complete") == "done"
    assert run(DELIVERY, "queued", "bury", "requeue", "lease") == "leased"


@pytest.mark.parametrize(
    ("table", "state", "event"),
    [
        (OUTGOING_SHARE, "revoked", "accept"),
        (OUTGOING_SHARE, "declined", "accept"),
        (OUTGOING_SHARE, "expired", "retry"),
        (INCOMING_SHARE, "revoked", "accept"),
        (INCOMING_SHARE, "left", "accept"),
        (INCOMING_SHARE, "accepted", "decline"),
        (DELIVERY, "done", "requeue"),
        (DELIVERY, "queued", "complete"),
        (DELIVERY, "no such state", "lease"),
        (DELIVERY, "queued", "no such event"),
    ],
)
def test_what_is_not_in_the_table_is_a_conflict(table: Table, state: str, event: str) -> None:
    with pytest.raises(InvalidTransition) as caught:
        next_state(table, state, event)
    assert (caught.value.code, caught.value.status) == ("invalid-transition", 409)
    assert (caught.value.state, caught.value.event) == (state, event)


@pytest.mark.parametrize(
    ("table", "state", "event", "said"),
    [
        (INCOMING_SHARE, "revoked", "accept", "It is revoked now, and cannot be accepted."),
        (INCOMING_SHARE, "left", "decline", "It is left now, and cannot be declined."),
        (INVITE, "accepted", "revoke", "It is accepted now, and cannot be taken back."),
        (INVITE, "revoked", "renew", "It is revoked now, and cannot be renewed."),
        (DELIVERY, "done", "requeue", "It is done now, and cannot be tried again."),
        (DELIVERY, "done", "bury", "It is done now, and cannot be given up."),
        (RECEIVED_REQUEST, "granted", "be granted", "It is granted now, and cannot be granted."),
    ],
)
def test_who_asks_is_told_the_state_and_what_to_do(table: Table, state: str, event: str, said: str) -> None:
    with pytest.raises(InvalidTransition) as caught:
        next_state(table, state, event)
    assert caught.value.sentence == said
    assert caught.value.hint


@pytest.mark.spec("REQ-2")
def test_a_request_is_granted_once_and_a_refusal_holds() -> None:
    assert run(RECEIVED_REQUEST, "open", "be refused", "ask again", "expire") == "refused"
    assert run(RECEIVED_REQUEST, "open", "be refused", "be granted", "ask again", "expire") == "granted"
    assert run(RECEIVED_REQUEST, "open", "expire", "ask again") == "open"
    with pytest.raises(InvalidTransition):
        run(RECEIVED_REQUEST, "open", "be granted", "be granted")


@pytest.mark.spec("REQ-1")
def test_the_share_may_overtake_the_answer_to_the_request() -> None:
    assert run(SENT_REQUEST, "pending", "be granted", "deliver", "fail", "expire") == "granted"
    assert run(SENT_REQUEST, "pending", "be withdrawn", "deliver") == "withdrawn"
    assert run(SENT_REQUEST, "pending", "fail", "retry", "deliver") == "sent"
