"""What the two servers of a share may say of it when nothing is under way any more."""

from collections.abc import Mapping

AGREE: Mapping[str, frozenset[str | None]] = {
    "sent": frozenset({"pending"}),
    "accepted": frozenset({"accepted"}),
    # who leaves an accepted share is told to have declined it
    "declined": frozenset({"declined", "left"}),
    # None: taken back before the other server heard of it
    "revoked": frozenset({"revoked", "left", "declined", None}),
}
"""State at the Sending Server -> states at the Receiving Server; None where the share is not there."""

AGREE_WITH_EXPIRY: Mapping[str, frozenset[str | None]] = {
    **AGREE,
    # the clocks of the two differ: one may have seen the end before the other's answer or before the share itself
    "expired": frozenset({"expired", "declined", "left", "revoked", None}),
    "revoked": frozenset({"revoked", "left", "declined", "expired", None}),
    "failed": frozenset({"expired", None}),
}
"""The same for shares that had an end, when that has passed for both."""
