"""Two servers that share with each other all the time, and change their keys meanwhile; then the comparison of what arrived."""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from opencloudmesh import bootstrap
from opencloudmesh.services.own_keys import OwnKeys
from opencloudmesh.services.peers import Act
from opencloudmesh.services.records import OwnKey
from tests.federation.site import Site, User

KINDS = ("ed25519", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "rsa-pss-sha512", "rsa-v1_5-sha256")
SETTINGS = {"key_lead_seconds": "2", "shares_per_recipient": "1000000", "unknown_shares_per_peer": "1000000"}
_ACT = Act("operator of a test")
_FOLDER = "data"
_CONTENT = b"what was shared first"


@dataclass
class Busy:
    """One direction: `giver` shares with `taker`, and `taker` reads what was shared first, until it is told to stop."""

    giver: User
    taker: User
    given: list[Any] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def begin(self, pause: float) -> None:
        self.giver.make_folder(_FOLDER)
        self.giver.put(f"{_FOLDER}/a.txt", _CONTENT)
        self.taker.answer("accept", self.share()["provider_id"])
        for act in (self.share, self.read):
            thread = threading.Thread(target=self._again_and_again, args=(act, pause), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _again_and_again(self, act: Callable[[], Any], pause: float) -> None:
        while not self.stop.wait(pause):
            try:
                act()
            except Exception as error:  # whatever it is, it is told at the end
                self.faults.append(f"{act.__name__}: {error!r}")

    def share(self) -> Any:
        path = _FOLDER if not self.given else f"{_FOLDER}/{len(self.given)}"
        if self.given:
            self.giver.make_folder(path)
        share = self.giver.share(path, self.taker.address)
        self.given.append(share)
        self.counts["shares"] += 1
        return share

    def read(self) -> None:
        answer = self.taker.dav("GET", f"Shared with me/{_FOLDER}/a.txt")
        self.counts["reads"] += 1
        if (answer.status, answer.body) != (200, _CONTENT):
            self.faults.append(f"a read was answered {answer.status}: {answer.body[:200]!r}")

    def end(self) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(120)

    # ------------------------------------------------------------ what came of it
    def disagreements(self, seconds: float) -> list[str]:
        """What was lost, doubled or refused for good, after at most so many seconds of waiting for the rest."""
        deadline = time.monotonic() + seconds
        while any(state == "pending" for state in self._states().values()) and time.monotonic() < deadline:
            time.sleep(0.2)
        arrived = Counter(item["provider_id"] for item in self.taker.inbox())
        states = self._states()
        wrong = list(self.faults)
        for share in self.given:
            state, copies = states[share["id"]], arrived[share["provider_id"]]
            if state not in ("sent", "accepted") or copies != 1:
                wrong.append(f"share {share['id']} of {self.giver.address} is {state}, and arrived {copies} times")
        deliveries = self.giver.api("GET", "/deliveries?failed=true&limit=500")["items"]
        wrong += [f"delivery {one['id']} is {one['state']}: {one['reason']}" for one in deliveries if one["state"] == "dead"]
        return wrong

    def _states(self) -> dict[int, str]:
        found: dict[int, str] = {}
        after: int | None = 0
        while after is not None:
            page = self.giver.api("GET", f"/shares?after={after}")
            found |= {item["id"]: item["state"] for item in page["items"]}
            after = page["next"]
        return found


async def _with_keys(site: Site, act: Callable[[OwnKeys], Awaitable[Any]]) -> Any:
    async with bootstrap.beside(site.folder) as wiring:
        return await act(wiring.own_keys)


def keys_of(site: Site) -> Sequence[OwnKey]:
    """What `ocm keys list` shows."""
    keys: Sequence[OwnKey] = asyncio.run(_with_keys(site, lambda own: own.keys()))
    return keys


def rotate(site: Site, kind: str, *, now: bool) -> None:
    """What `ocm keys rotate` does; where a key is announced already, it has to be at once."""
    at_once = now or any(key.state == "announced" for key in keys_of(site))
    asyncio.run(_with_keys(site, lambda own: own.rotate(kind, _ACT, now=at_once)))


def retire_old(site: Site) -> None:
    """What `ocm keys retire` does, for every key that does not sign any more."""
    for key in keys_of(site):
        if key.state == "superseded":
            asyncio.run(_with_keys(site, lambda own, kid=key.kid: own.retire(kid, _ACT)))


def change_keys(sites: tuple[Site, Site], chance: random.Random, counts: Counter[str]) -> None:
    """One act on the keys of one of the servers."""
    site = chance.choice(sites)
    act = chance.choice(("rotate", "rotate --now", "retire"))
    counts[act] += 1
    if act == "retire":
        retire_old(site)
    else:
        rotate(site, chance.choice(KINDS), now=act == "rotate --now")
