"""The steps settings, keys, database and disk of our own server: what is on this machine.

Rules kept here: of the database URL and of key files nothing is told but whether they work.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from opencloudmesh.services.doctor.findings import Finding, Seen, fail, warn
from opencloudmesh.services.ports import Database, Signer

_TIGHT: Final = 1 << 30
_FULL: Final = 100 << 20
_MEBIBYTE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Space:
    """Room on a disk, in bytes; `writable`: this user may write there."""

    purpose: str
    free: int
    total: int
    writable: bool


class OwnFolder(Protocol):
    """The folder of our server. All raise `LocalFault`, with a sentence and a hint."""

    def contradictions(self) -> Sequence[tuple[str, str]]:
        """(sentence, what to do) for settings that contradict each other."""

    def signer(self) -> Signer:
        """The signing key."""

    def check_secret_key(self) -> None:
        """Read the key that opens stored secrets."""

    def database(self) -> Database:
        """The database, opened beside a server that may be running."""

    def spaces(self) -> Sequence[Space]:
        """The disks that the server writes to."""

    def fault_of_home(self, home: str) -> str:
        """What keeps this process from using a user's home, a sentence; empty where nothing does."""

    def clock_is_kept(self) -> bool | None:
        """Whether a time service keeps this machine's clock; None where that cannot be told."""


def look_at_settings(folder: OwnFolder) -> Seen:
    """Settings that contradict each other; that they can be read at all was needed to come here."""
    found = folder.contradictions()
    findings = tuple(warn("settings-contradict", sentence, us=hint) for sentence, hint in found)
    return Seen("nothing contradicts" if not found else f"{len(found)} to look at", {"contradictions": len(found)}, findings)


def look_at_key_files(folder: OwnFolder) -> tuple[Signer, Seen]:
    """Both key files; raises what they raise."""
    signer = folder.signer()
    folder.check_secret_key()
    return signer, Seen(f"{signer.keyid}, {signer.algorithm}", {"kid": signer.keyid, "algorithm": signer.algorithm})


async def look_at_database(folder: OwnFolder) -> Seen:
    """Open it, read from it, open what is sealed in it."""
    database = await asyncio.to_thread(folder.database)
    peers = await database.read(lambda tx: len(tx.peers.all()))
    await database.read(lambda tx: tx.check_secrets())
    return Seen("readable, stored secrets open", {"peers": peers})


def look_at_disks(folder: OwnFolder) -> Seen:
    """Whether there is room."""
    spaces = folder.spaces()
    facts: dict[str, Any] = {
        "disks": [
            {"of": s.purpose, "free_mebibytes": s.free // _MEBIBYTE, "total_mebibytes": s.total // _MEBIBYTE} for s in spaces
        ]
    }
    findings = [finding for space in spaces for finding in _judge(space)]
    return Seen(", ".join(f"{s.free / (1 << 30):.1f} GiB free for {s.purpose}" for s in spaces), facts, tuple(findings))


def _judge(space: Space) -> list[Finding]:
    us = f"Make room on the disk of {space.purpose}, or move it to a larger one."
    found = []
    if space.free < _FULL:
        found.append(fail("disk-full", f"Only {space.free // _MEBIBYTE} MiB are free for {space.purpose}.", us=us))
    elif space.free < _TIGHT:
        found.append(warn("disk-tight", f"Only {space.free // _MEBIBYTE} MiB are free for {space.purpose}.", us=us))
    if not space.writable:
        us = "Run the server, and this command, as the user that owns the folder."
        found.append(fail("disk-not-writable", f"The place of {space.purpose} cannot be written to.", us=us))
    return found
