"""The states of shares, requests, invites and deliveries, as tables (sections Share Acceptance Notification, Share Deletion,
Request for a Share, Invite Flow; design decision 5).

Rules kept here: what is not in a table cannot happen; an event whose outcome is the present state already may come again and
changes nothing. Each table maps state -> event -> next state; the diagrams of the documentation are generated from them.
"""

from collections.abc import Mapping
from typing import Final

from opencloudmesh.protocol.errors import Conflict

Table = Mapping[str, Mapping[str, str]]

# states
PENDING: Final = "pending"
SENT: Final = "sent"
ACCEPTED: Final = "accepted"
DECLINED: Final = "declined"
REVOKED: Final = "revoked"
EXPIRED: Final = "expired"
FAILED: Final = "failed"
LEFT: Final = "left"
OPEN: Final = "open"
GRANTED: Final = "granted"
REFUSED: Final = "refused"
WITHDRAWN: Final = "withdrawn"
QUEUED: Final = "queued"
LEASED: Final = "leased"
DONE: Final = "done"
DEAD: Final = "dead"

# events of shares
DELIVER: Final = "deliver"  # the Receiving Server took the notification
ACCEPT: Final = "accept"
DECLINE: Final = "decline"
REVOKE: Final = "revoke"  # the Sending Party unshared, or the Sending Server says so
EXPIRE: Final = "expire"
FAIL: Final = "fail"  # the notification cannot be delivered
RETRY: Final = "retry"
OFFER_AGAIN: Final = "offer again"  # after one of the servers came back without its data
RENEW: Final = "renew"  # an invite is sent again
LEAVE: Final = "leave"  # the Receiving Party gives the share back, or forgets it

# events of requests for shares
GRANT: Final = "be granted"  # the owner shares what was asked for; for who asked: that share came
REFUSE: Final = "be refused"
ASK_AGAIN: Final = "ask again"  # the same request once more
WITHDRAW: Final = "be withdrawn"

# events of deliveries
LEASE: Final = "lease"
COMPLETE: Final = "complete"
REQUEUE: Final = "requeue"  # try again later, or the lease ran out
BURY: Final = "bury"  # final refusal, time to live over, cancelled

_END: Final[Mapping[str, str]] = {REVOKE: REVOKED, EXPIRE: EXPIRED, FAIL: FAILED}

OUTGOING_SHARE: Final[Table] = {
    # Acceptance may overtake the answer to our own notification.
    PENDING: {DELIVER: SENT, ACCEPT: ACCEPTED, DECLINE: DECLINED, OFFER_AGAIN: PENDING, **_END},
    # What was taken once is taken, also where a repeat of the notification is refused.
    SENT: {DELIVER: SENT, ACCEPT: ACCEPTED, DECLINE: DECLINED, OFFER_AGAIN: SENT, **_END, FAIL: SENT},
    # An answer proves the delivery, whatever became of our own tries.
    ACCEPTED: {
        DELIVER: ACCEPTED, ACCEPT: ACCEPTED, DECLINE: DECLINED, OFFER_AGAIN: SENT,
        REVOKE: REVOKED, EXPIRE: EXPIRED, FAIL: ACCEPTED,
    },
    DECLINED: {DELIVER: DECLINED, DECLINE: DECLINED, REVOKE: REVOKED, EXPIRE: EXPIRED, FAIL: DECLINED},
    REVOKED: {DELIVER: REVOKED, DECLINE: REVOKED, REVOKE: REVOKED, EXPIRE: REVOKED, FAIL: REVOKED},
    EXPIRED: {DELIVER: EXPIRED, DECLINE: EXPIRED, REVOKE: REVOKED, EXPIRE: EXPIRED, FAIL: EXPIRED},
    FAILED: {
        DELIVER: SENT, RETRY: PENDING, ACCEPT: ACCEPTED, DECLINE: DECLINED, OFFER_AGAIN: PENDING,
        REVOKE: REVOKED, EXPIRE: EXPIRED, FAIL: FAILED,
    },
}  # fmt: skip

INCOMING_SHARE: Final[Table] = {
    PENDING: {ACCEPT: ACCEPTED, DECLINE: DECLINED, REVOKE: REVOKED, EXPIRE: EXPIRED, LEAVE: LEFT, OFFER_AGAIN: PENDING},
    ACCEPTED: {ACCEPT: ACCEPTED, REVOKE: REVOKED, EXPIRE: EXPIRED, LEAVE: LEFT},
    DECLINED: {DECLINE: DECLINED, REVOKE: REVOKED, EXPIRE: EXPIRED, LEAVE: LEFT},
    # Offered again is only what was taken for gone; what was taken back stays so.
    REVOKED: {REVOKE: REVOKED, EXPIRE: REVOKED, LEAVE: LEFT, OFFER_AGAIN: PENDING},
    EXPIRED: {REVOKE: REVOKED, EXPIRE: EXPIRED, LEAVE: LEFT},
    LEFT: {REVOKE: LEFT, EXPIRE: LEFT, LEAVE: LEFT},
}

SENT_REQUEST: Final[Table] = {
    # The share may overtake the answer to our own request.
    PENDING: {DELIVER: SENT, GRANT: GRANTED, WITHDRAW: WITHDRAWN, EXPIRE: EXPIRED, FAIL: FAILED},
    SENT: {DELIVER: SENT, GRANT: GRANTED, WITHDRAW: WITHDRAWN, EXPIRE: EXPIRED, FAIL: SENT},
    GRANTED: {DELIVER: GRANTED, GRANT: GRANTED, EXPIRE: GRANTED, FAIL: GRANTED},
    WITHDRAWN: {DELIVER: WITHDRAWN, WITHDRAW: WITHDRAWN, EXPIRE: WITHDRAWN, FAIL: WITHDRAWN},
    EXPIRED: {DELIVER: EXPIRED, GRANT: GRANTED, WITHDRAW: WITHDRAWN, EXPIRE: EXPIRED, FAIL: EXPIRED},
    FAILED: {DELIVER: SENT, RETRY: PENDING, GRANT: GRANTED, WITHDRAW: WITHDRAWN, EXPIRE: EXPIRED, FAIL: FAILED},
}

RECEIVED_REQUEST: Final[Table] = {
    OPEN: {GRANT: GRANTED, REFUSE: REFUSED, EXPIRE: EXPIRED, ASK_AGAIN: OPEN},
    GRANTED: {EXPIRE: GRANTED, ASK_AGAIN: GRANTED},
    # Who was refused does not come before the owner again by asking again; the owner may think better of it.
    REFUSED: {GRANT: GRANTED, REFUSE: REFUSED, EXPIRE: REFUSED, ASK_AGAIN: REFUSED},
    EXPIRED: {GRANT: GRANTED, REFUSE: REFUSED, EXPIRE: EXPIRED, ASK_AGAIN: OPEN},
}

REQUEST_LINK: Final[Table] = {
    OPEN: {REVOKE: REVOKED, EXPIRE: EXPIRED},
    REVOKED: {REVOKE: REVOKED, EXPIRE: REVOKED},
    EXPIRED: {REVOKE: REVOKED, EXPIRE: EXPIRED},
}

INVITE: Final[Table] = {
    OPEN: {ACCEPT: ACCEPTED, REVOKE: REVOKED, EXPIRE: EXPIRED, RENEW: OPEN},
    ACCEPTED: {EXPIRE: ACCEPTED},
    REVOKED: {REVOKE: REVOKED, EXPIRE: REVOKED},
    EXPIRED: {REVOKE: REVOKED, EXPIRE: EXPIRED, RENEW: OPEN},
}

DELIVERY: Final[Table] = {
    QUEUED: {LEASE: LEASED, REQUEUE: QUEUED, BURY: DEAD},
    LEASED: {LEASE: LEASED, COMPLETE: DONE, REQUEUE: QUEUED, BURY: DEAD},
    DONE: {COMPLETE: DONE},
    DEAD: {REQUEUE: QUEUED, BURY: DEAD},
}

GIVES_ACCESS: Final = frozenset({PENDING, SENT, ACCEPTED})
"""The states of an outgoing share in which the Resource can be reached: from before the first delivery to the end."""


_HINTS: Final[Mapping[tuple[str, str], str]] = {
    (ACCEPTED, DECLINE): "Leave the share instead.",
    (REVOKED, ACCEPT): "The share was taken back: ask its owner to share again.",
    (DECLINED, ACCEPT): "The share was declined: ask its owner to share again.",
    (EXPIRED, ACCEPT): "The share has expired: ask its owner to share again.",
    (LEFT, ACCEPT): "The share was given up: ask its owner to share again.",
    (REVOKED, DECLINE): "The share was taken back: there is nothing to decline. Leave it, and it is off the list.",
    (EXPIRED, DECLINE): "The share has expired: there is nothing to decline. Leave it, and it is off the list.",
    (LEFT, DECLINE): "The share was given up before: there is nothing to decline.",
    (ACCEPTED, REVOKE): "Who accepted the invite is a contact now: remove the contact instead.",
    (ACCEPTED, RENEW): "Who accepted the invite is a contact now. For somebody else, make another invite.",
    (REVOKED, RENEW): "Make another invite.",
    (DONE, REQUEUE): "The message was delivered: there is nothing to try again.",
    (DONE, BURY): "The message was delivered. Undo what it says instead, such as a share by taking it back.",
    (GRANTED, GRANT): "It was shared before: take that share back first, if it should be another one.",
    (GRANTED, REFUSE): "Take the share back instead.",
    (GRANTED, WITHDRAW): "The share is there already: decline or leave it.",
}

_WORDS: Final[Mapping[str, str]] = {
    ACCEPT: "be accepted",
    DECLINE: "be declined",
    REVOKE: "be taken back",
    RENEW: "be renewed",
    REQUEUE: "be tried again",
    BURY: "be given up",
}
"""Events as a person is told them, where their own words are others."""


class InvalidTransition(Conflict):
    """The thing is in a state in which this cannot happen."""

    code = "invalid-transition"

    def __init__(self, state: str, event: str) -> None:
        sentence = f"It is {state} now, and cannot {_WORDS.get(event, event)}."
        super().__init__(sentence, hint=_HINTS.get((state, event), ""))
        self.state = state
        self.event = event


def next_state(table: Table, state: str, event: str) -> str:
    """The state after `event`; raises `InvalidTransition`."""
    following = table.get(state, {}).get(event)
    if following is None:
        raise InvalidTransition(state, event)
    return following
