"""What happens in a run, decided by the seed before anything happens: lives of shares, and faults."""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

KILL = "kill -9"
CLOCK = "clock skewed"
CLOCK_FAR = "clock beyond tolerance"
DISK = "disk full"
CUTS = ("refused", "black hole", "answers vanish", "answer lost", "answer broken", "closed", "500", "429")
"""What a path from one server to another may be; see `network`."""

_SKEW = 40.0  # signatures may be 300 s old, and 60 s ahead
_FAR = 400.0


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    servers: int
    users: int
    shares: int
    seconds: float
    """How long acts and faults go on."""
    expiring: float = 0.12
    """The part of the shares that have an end."""


@dataclass(frozen=True)
class Life:
    """One share; times are seconds since the start, or since what must happen first."""

    number: int
    giver: tuple[int, int]
    """Server and user."""
    receiver: tuple[int, int]
    shared_at: float
    expires_after: float | None
    answer: str | None
    answered_after: float
    left_after: float | None
    unshared_after: float | None


@dataclass(frozen=True)
class Fault:
    """`where` is a server, or the calling and the called one."""

    at: float
    kind: str
    where: tuple[int, ...]
    seconds: float
    amount: float = 0.0

    def __str__(self) -> str:
        where = " -> ".join(f"s{number}" for number in self.where)
        return f"{self.at:.1f}s {self.kind} {where} for {self.seconds:.1f}s" + (f" ({self.amount:+.0f}s)" if self.amount else "")


@dataclass(frozen=True)
class Plan:
    """All of it, in order of time."""

    seed: int
    size: Size
    lives: tuple[Life, ...]
    faults: tuple[Fault, ...]

    @property
    def digest(self) -> str:
        """The same for the same plan."""
        return hashlib.sha256(repr((self.size, self.lives, self.faults)).encode()).hexdigest()[:16]


def make_plan(seed: int, size: Size, *, disk_of: int, far_clocks: bool) -> Plan:
    """The plan of this seed. The disk of server `disk_of` is the one that gets full."""
    chance = random.Random(seed)
    lives = sorted((_life(chance, number, size) for number in range(size.shares)), key=lambda life: life.shared_at)
    faults = [*_kills(chance, size), *_cuts(chance, size), *_clocks(chance, size), *_full_disks(chance, size, disk_of)]
    if far_clocks:
        faults.append(_far_clock(chance, size))
    return Plan(seed, size, tuple(lives), tuple(sorted(faults, key=lambda fault: (fault.at, fault.kind, fault.where))))


def _life(chance: random.Random, number: int, size: Size) -> Life:
    giver, receiver = chance.sample(range(size.servers), 2)
    of_server = size.users // size.servers
    span = size.seconds
    answer = chance.choices(("accept", "decline", None), (60, 15, 25))[0]
    # some are taken back at once, while they are being delivered
    unshared = chance.choices((None, 0.0, chance.uniform(0.0, 0.4 * span)), (65, 8, 27))[0]
    shared_at = chance.uniform(0.0, 0.8 * span)
    return Life(
        number=number,
        giver=(giver, chance.randrange(of_server)),
        receiver=(receiver, chance.randrange(of_server)),
        shared_at=shared_at,
        expires_after=(
            chance.uniform(0.05 * span, max(0.1 * span, 0.9 * span - shared_at)) if chance.random() < size.expiring else None
        ),
        answer=answer,
        answered_after=chance.choice((0.0, chance.uniform(0.0, 0.15 * span))),
        left_after=chance.uniform(0.0, 0.2 * span) if answer == "accept" and chance.random() < 0.2 else None,
        unshared_after=unshared,
    )


def _times(chance: random.Random, size: Size, gap: float) -> Iterator[float]:
    at = chance.uniform(0.02 * size.seconds, gap)
    while at < 0.95 * size.seconds:
        yield at
        at += chance.uniform(0.5, 1.5) * gap


def _kills(chance: random.Random, size: Size) -> Iterator[Fault]:
    for server in range(size.servers):
        for at in _times(chance, size, max(8.0, min(45.0, size.seconds / 5))):
            seconds = chance.uniform(0.1, 4.0) if chance.random() < 0.85 else chance.uniform(0.05, 0.1) * size.seconds
            yield Fault(at, KILL, (server,), seconds)


def _cuts(chance: random.Random, size: Size) -> Iterator[Fault]:
    for pair in permutations(range(size.servers), 2):
        for at in _times(chance, size, min(45.0, size.seconds / 2)):
            kind = chance.choice(CUTS)
            seconds = chance.uniform(0.5, min(25.0, size.seconds / 5))
            yield Fault(at, kind, pair, seconds)
            if chance.random() < 0.4:  # else one way only
                yield Fault(at, kind, (pair[1], pair[0]), seconds)


def _clocks(chance: random.Random, size: Size) -> Iterator[Fault]:
    for server in range(size.servers):
        for at in _times(chance, size, size.seconds / 5):
            seconds = chance.uniform(0.05, 0.15) * size.seconds
            yield Fault(at, CLOCK, (server,), seconds, float(chance.randint(-int(_SKEW), int(_SKEW))))


def _far_clock(chance: random.Random, size: Size) -> Fault:
    server = chance.randrange(size.servers)
    return Fault(0.5 * size.seconds, CLOCK_FAR, (server,), 0.12 * size.seconds, -_FAR)


def _full_disks(chance: random.Random, size: Size, server: int) -> Iterator[Fault]:
    for at in _times(chance, size, size.seconds / 4):
        yield Fault(at, DISK, (server,), chance.uniform(0.03, 0.07) * size.seconds)
