"""Small writes take turns: one at a time, nobody while the disk is waited for, and nobody is held up by one that hangs."""

import threading
from concurrent.futures import ThreadPoolExecutor

from opencloudmesh.adapters.storage.turns import in_turns, off_turn


def test_one_at_a_time_but_for_the_waiting() -> None:
    inside, most = 0, 0
    both_wait = threading.Barrier(2, timeout=10)

    def work(_: int) -> None:
        nonlocal inside, most
        with in_turns():
            inside += 1
            most = max(most, inside)
            inside -= 1
            with off_turn():
                both_wait.wait()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(2)))
    assert most == 1


def test_whose_turn_does_not_come_goes_on_without() -> None:
    hangs, goes_on = threading.Event(), threading.Event()

    def hang() -> None:
        with in_turns():
            hangs.set()
            goes_on.wait(10)

    thread = threading.Thread(target=hang)
    thread.start()
    assert hangs.wait(10)
    with in_turns(), off_turn():
        assert not goes_on.is_set()
    goes_on.set()
    thread.join(10)


def test_outside_of_turns_waiting_takes_none() -> None:
    with off_turn():
        pass
    with in_turns():
        pass
