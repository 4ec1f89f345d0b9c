"""How often, and how many at once: the algorithm against a plain bucket, and floods of keys."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.services.limits import AtOnce, Lately, RateLimiter, retry_after

NOW = 1_000.0


def taken(limiter: RateLimiter, key: str, tries: int, now: float) -> int:
    """How many of so many tries were let through."""
    return sum(limiter.take(key, now) == 0.0 for _ in range(tries))


# ---------------------------------------------------------------- rate
def test_a_burst_and_then_the_rate() -> None:
    limiter = RateLimiter(rate=2.0, burst=5)
    assert taken(limiter, "a", 9, NOW) == 5
    assert limiter.take("a", NOW) == pytest.approx(0.5)
    assert taken(limiter, "a", 9, NOW + 0.5) == 1
    assert taken(limiter, "a", 9, NOW + 1.5) == 2
    assert taken(limiter, "a", 9, NOW + 1000) == 5, "a full bucket holds no more than the burst"


def test_keys_do_not_share() -> None:
    limiter = RateLimiter(1.0, 3)
    assert taken(limiter, "a", 5, NOW) == 3
    assert taken(limiter, "b", 5, NOW) == 3


def test_the_wait_is_exact_and_refusals_cost_nothing() -> None:
    limiter = RateLimiter(0.25, 1)
    assert limiter.take("a", NOW) == 0.0
    wait = limiter.take("a", NOW + 1)
    assert wait == pytest.approx(3.0)
    for _ in range(50):
        limiter.take("a", NOW + 1)
    assert limiter.wait("a", NOW + 1) == pytest.approx(wait)
    assert limiter.wait("a", NOW + 1 + wait) == 0.0
    assert limiter.take("a", NOW + 1 + wait) == 0.0


@given(
    burst=st.integers(1, 20),
    rate=st.sampled_from([0.1, 0.5, 1.0, 7.0, 100.0]),
    steps=st.lists(st.floats(0.0, 30.0, allow_nan=False), max_size=60),
)
def test_it_is_a_bucket_that_fills_by_itself(burst: int, rate: float, steps: list[float]) -> None:
    limiter = RateLimiter(rate, burst)
    level, now = float(burst), NOW
    for step in steps:
        now += step
        level = min(burst, level + step * rate)
        if abs(level - 1.0) < 1e-5:
            return  # which side of the edge it falls on is rounding
        assert (limiter.take("a", now) == 0.0) == (level > 1.0)
        if level > 1.0:
            level -= 1.0


def test_charging_never_makes_a_debt_that_lasts() -> None:
    limiter = RateLimiter(1.0, 4)
    for _ in range(1000):
        limiter.charge("a", NOW)
    assert limiter.wait("a", NOW) == pytest.approx(1.0)
    assert limiter.wait("a", NOW + 1.001) == 0.0


def test_what_is_given_back_can_be_taken_again() -> None:
    limiter = RateLimiter(1.0, 2)
    assert taken(limiter, "a", 5, NOW) == 2
    limiter.give_back("a", NOW)
    assert taken(limiter, "a", 5, NOW) == 1
    for _ in range(9):
        limiter.give_back("a", NOW)
    assert len(limiter) == 0
    assert taken(limiter, "a", 5, NOW) == 2, "more is never given back than was taken"


def test_a_clock_that_goes_back_locks_nobody_out() -> None:
    limiter = RateLimiter(1.0, 5)
    assert taken(limiter, "a", 9, NOW + 1e6) == 5
    assert limiter.wait("a", NOW) == 0.0
    assert taken(limiter, "a", 9, NOW) == 5
    assert taken(limiter, "a", 9, NOW - 1) == 0, "a little jump is no new bucket"
    assert taken(limiter, "a", 9, NOW + 2) >= 1


# ---------------------------------------------------------------- a flood of keys
def test_memory_is_bounded_whatever_keys_come() -> None:
    limiter = RateLimiter(0.01, 2, most_keys=256)
    for number in range(20_000):
        limiter.take(f"flood {number}", NOW)
        limiter.charge(f"more {number}", NOW)
    assert len(limiter) <= 256


def test_a_flood_of_fresh_keys_does_not_fill_the_bucket_of_an_attacker() -> None:
    limiter = RateLimiter(0.01, 10, most_keys=256)
    assert taken(limiter, "attacker", 20, NOW) == 10
    for number in range(20_000):
        assert limiter.take(f"flood {number}", NOW) == 0.0, "and newcomers are never shut out by it"
    assert limiter.take("attacker", NOW) > 0.0
    for number in range(20_000):
        limiter.charge(f"more {number}", NOW)
    assert limiter.take("attacker", NOW) > 0.0


def test_who_has_no_debt_is_forgotten_first() -> None:
    limiter = RateLimiter(1.0, 5, most_keys=16)
    for number in range(16):
        limiter.take(f"old {number}", NOW)
    limiter.take("debtor", NOW + 100)
    for number in range(15):
        limiter.take(f"new {number}", NOW + 100)
    assert taken(limiter, "debtor", 9, NOW + 100) == 4


# ---------------------------------------------------------------- at once
def test_so_many_at_once_for_each_key() -> None:
    at_once = AtOnce(2)
    assert [at_once.enter("a") for _ in range(3)] == [True, True, False]
    assert at_once.enter("b")
    at_once.leave("a")
    assert [at_once.enter("a"), at_once.enter("a")] == [True, False]
    for key in ("a", "a", "b"):
        at_once.leave(key)
    assert len(at_once) == 0, "what is not under way takes no memory"


# ---------------------------------------------------------------- lately
def test_who_did_well_lately() -> None:
    lately = Lately(60.0, most=3)
    lately.add("a", NOW)
    assert lately.has("a", NOW + 59)
    assert not lately.has("a", NOW + 60)
    assert not lately.has("b", NOW)
    for key in "abcd":
        lately.add(key, NOW)
    assert len(lately) == 3
    assert [key for key in "abcd" if lately.has(key, NOW)] == ["b", "c", "d"]


@pytest.mark.parametrize(("seconds", "told"), [(0.0, 1), (0.01, 1), (1.0, 1), (1.01, 2), (59.5, 60)])
def test_retry_after_is_never_too_early(seconds: float, told: int) -> None:
    assert retry_after(seconds) == told >= math.floor(seconds)
