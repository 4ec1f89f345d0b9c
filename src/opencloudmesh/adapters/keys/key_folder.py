"""Our signing keys on the disk: which there are, from when on each signs, until when each is published.

How it works

- `ring.json` in the keys folder lists the signing keys, each with its file, its algorithm, the time from which it signs and the
  time at which it ends. Without that file `signing.pem` is the only key: as `ocm init` makes it, and as it was before there were
  rings.
- The ring names the host that its keys sign for: with another origin (a copy of the folder that becomes another server) it is
  refused. Rings without a host were written before this was so, and are taken.
- Whether a key is announced, signs, or is an old one that is still published follows from these times and the clock. So nothing
  has to be written when a time comes, and nobody has to be running then.
- The keys that are not at their end are published side by side. Of those whose time has come the one with the latest signs; where
  that is none (a clock that was set back, a key that was taken away) the earliest does.
- The ring names the file of a new key that is being made, then that is written, then the ring has it as a key: a kill in between
  leaves a file that the next change removes. A file that the ring does not name is never removed; where there is no ring, but
  there are keys of earlier rotations, it was lost, and nothing is done until an operator has brought it back. A key ends in the
  ring first, then its file is removed, then its entry: a kill in between leaves an ended key, and the next sweep goes on. The
  ring is replaced as a whole, by `rename`.
- Whoever changes something holds a lock on the folder.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from opencloudmesh.adapters.keys.key_files import (
    KeyUnusable,
    locked,
    malformed,
    read_key_file,
    remove_key_file,
    replace_key_file,
)
from opencloudmesh.adapters.keys.signing_key import (
    SigningKey,
    create_signing_key,
    generate,
    load_signing_key,
    write_signing_key,
)
from opencloudmesh.protocol.errors import Conflict, InvalidInput, NotFound
from opencloudmesh.protocol.jwks import ALGORITHMS, ED25519, thumbprint
from opencloudmesh.services.records import ANNOUNCED, SIGNING, SUPERSEDED, OwnKey

_log = structlog.get_logger(__name__)
RING: Final = "ring.json"
FIRST: Final = "signing.pem"
_VERSION: Final = 1
_A_LITTLE: Final = 0.001
_MADE_BY_US: Final = re.compile(r"signing-[A-Za-z0-9_-]{16}\.pem", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of the ring; times are seconds since the epoch. `algorithm` is empty where the key itself says it."""

    file: str
    algorithm: str
    made_at: float
    signs_from: float
    ends_at: float | None

    def has_ended(self, now: float) -> bool:
        return self.ends_at is not None and self.ends_at <= now


@dataclass(frozen=True, slots=True)
class Ring:
    """The keys that are published, as they are at one time; `next_change`: when that is another ring, if nobody changes it."""

    published: tuple[SigningKey, ...]
    signing: SigningKey
    entries: tuple[Entry, ...]
    next_change: float | None

    def described(self, now: float) -> list[OwnKey]:
        """The keys as an operator sees them, in the order in which they sign."""
        return [_described(entry, key, self.signing, now) for entry, key in zip(self.entries, self.published, strict=True)]

    def find(self, kid: str) -> Entry:
        """The entry of a key, by its kid or by what follows the "#" in it; raises `NotFound` (key-unknown)."""
        for entry, key in zip(self.entries, self.published, strict=True):
            if kid in (key.keyid, key.keyid.partition("#")[2]):
                return entry
        raise NotFound(f"There is no key {kid}.", code="key-unknown", hint="List them: ocm keys list")


class KeyFolder:
    """The signing keys in one folder; `host` is the server's, for the names of its keys."""

    def __init__(self, folder: Path, host: str) -> None:
        self.folder = folder
        self.ring_file = folder / RING
        self._host = host

    # ------------------------------------------------------------ reading
    def read(self, now: float) -> Ring:
        """Load the keys that have not ended; raises `KeyUnusable`.

        One that is only published may be missing (a backup made amid a change); the one that signs may not.
        """
        living = [entry for entry in self._entries() if not entry.has_ended(now)]
        if not living:
            raise malformed(self.ring_file, "names no key that has not ended")
        signs = _signing(living, now)
        loaded = [(entry, key) for entry in living if (key := self._load(entry, is_needed=entry is signs)) is not None]
        return Ring(
            published=tuple(key for _, key in loaded),
            signing=next(key for entry, key in loaded if entry is signs),
            entries=tuple(entry for entry, _ in loaded),
            next_change=min((at for entry in living for at in _times(entry) if at > now), default=None),
        )

    def _load(self, entry: Entry, *, is_needed: bool) -> SigningKey | None:
        try:
            return load_signing_key(self.folder / entry.file, self._host, algorithm=entry.algorithm or None)
        except KeyUnusable as error:
            if is_needed or error.code != "key-missing":
                raise
            _log.warning("own-key-missing", file=entry.file, detail="It is not published any more.")
            return None

    def _entries(self) -> list[Entry]:
        """All entries, by the time from which they sign."""
        try:
            content = read_key_file(self.ring_file)
        except KeyUnusable as error:
            if error.code != "key-missing":
                raise
            self._check_no_ring_was_lost()
            return [Entry(FIRST, "", self._made_at(), 0.0, None)]
        return sorted(_parse(self.ring_file, content, self._host), key=lambda entry: (entry.signs_from, entry.made_at))

    def _made_at(self) -> float:
        try:
            return (self.folder / FIRST).stat().st_mtime
        except OSError:
            return 0.0

    def _check_no_ring_was_lost(self) -> None:
        if made := sorted(path.name for path in self.folder.glob("signing-*.pem")):
            raise KeyUnusable(
                f"{self.ring_file} is missing, and it named which of these keys signs: {', '.join(made)}.",
                code="key-ring-missing",
                hint="Bring it back from a backup. Where there is none: move these files away, and run ocm init if signing.pem "
                "is missing, too; other servers will fetch the key that signs then.",
            )

    def _write(self, entries: Sequence[Entry], *, making: str = "") -> None:
        """Replace the ring; the file of a key that was begun, and is not among the keys, is removed."""
        begun = self._making()
        document = {"version": _VERSION, "host": self._host, "keys": [asdict(entry) for entry in entries]}
        document |= {"making": making} if making else {}
        replace_key_file(self.ring_file, json.dumps(document, indent=2).encode() + b"\n")
        if begun and begun not in (making, *(entry.file for entry in entries)):
            remove_key_file(self.folder / begun)

    def _making(self) -> str:
        """The file of a key that is being made, or was when somebody was killed; empty where there is none."""
        if not self.ring_file.exists():
            return ""
        named = json.loads(read_key_file(self.ring_file)).get("making", "")
        return named if isinstance(named, str) and _MADE_BY_US.fullmatch(named) else ""

    # ------------------------------------------------------------ changing
    def make_first(self, algorithm: str, now: float) -> str:
        """Make a key where there is none, or where those of the ring are lost; returns a line on what was done.

        Raises `KeyUnusable`.
        """
        first = self.folder / FIRST
        if not self.ring_file.exists():
            if first.exists():
                return f"kept {first}"
            self._check_no_ring_was_lost()
            if algorithm == ED25519:
                create_signing_key(first, algorithm)
                return f"made {first}"
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self.folder):
            entries = self._entries() if self.ring_file.exists() else []
            there = [one for one in entries if not one.has_ended(now) and (self.folder / one.file).exists()]
            if any(entry.ends_at is None for entry in there):
                return f"kept {self.ring_file}"
            made = self._made(algorithm, now, signs_from=now, beside=there)
            self._write([*there, made])
        return f"made {self.folder / made.file}"

    def rotate(self, algorithm: str, *, now: float, lead: float, overlap: float) -> OwnKey:
        """Make a new key: published from now on, signing after `lead` seconds; the others end `overlap` seconds after that.

        With no lead a key that was announced is dropped: it has never signed. Raises `Conflict` (key-rotation-pending),
        `InvalidInput` (key-kind-unknown), `KeyUnusable`.
        """
        if algorithm not in ALGORITHMS:
            hint = f"Choose one of: {', '.join(sorted(ALGORITHMS))}."
            raise InvalidInput(f"There are no keys of the kind {algorithm!r}.", code="key-kind-unknown", hint=hint)
        with locked(self.folder):
            self._sweep(now)
            living = self._entries()
            announced = [entry for entry in living if entry.signs_from > now and len(living) > 1]
            if announced and lead > 0:
                raise Conflict(
                    "A new key was announced already, and does not sign yet.",
                    code="key-rotation-pending",
                    hint="Wait until it signs (ocm keys list), or retire it, or sign with another new one at once: --now",
                )
            made = self._made(algorithm, now, signs_from=now + lead, beside=living)
            self._write([*(_superseded(entry, made, overlap, announced) for entry in living), made])
            self._sweep(now)
            return self._of(made, now)

    def retire(self, kid: str, *, now: float) -> OwnKey:
        """Publish a key no more, from now on; where it was to sign, the one that is left does.

        Raises `NotFound` (key-unknown), `Conflict` (key-last), `KeyUnusable`.
        """
        with locked(self.folder):
            ring = self.read(now)
            entry = ring.find(kid)
            described = self._of(entry, now)
            rest = [one for one in ring.entries if one is not entry]
            if not rest:
                hint = "Make another one first: ocm keys rotate --now"
                raise Conflict("This is the only key: nothing could be signed without it.", code="key-last", hint=hint)
            changed = {entry.file: replace(entry, ends_at=now), rest[-1].file: replace(rest[-1], ends_at=None)}
            self._write([changed.get(one.file, one) for one in self._entries()])
            self._sweep(now)
            return replace(described, ends_at=now)

    def sweep(self, now: float) -> None:
        """Remove the keys that have ended; raises `KeyUnusable`."""
        if self.ring_file.exists():
            with locked(self.folder):
                self._sweep(now)

    def _sweep(self, now: float) -> None:
        entries = self._entries()
        ended = [entry for entry in entries if entry.has_ended(now)]
        for entry in ended:
            remove_key_file(self.folder / entry.file)
        if ended:
            self._write([entry for entry in entries if not entry.has_ended(now)])

    def _made(self, algorithm: str, now: float, *, signs_from: float, beside: Sequence[Entry]) -> Entry:
        private_key = generate(algorithm)
        name = f"signing-{thumbprint(private_key.public_key())[:16]}.pem"
        self._write(beside, making=name)
        write_signing_key(self.folder / name, private_key)
        return Entry(name, algorithm, now, signs_from, None)

    def _of(self, entry: Entry, now: float) -> OwnKey:
        ring = self.read(now)
        return next(key for one, key in zip(ring.entries, ring.described(now), strict=True) if one.file == entry.file)


def _signing(living: Sequence[Entry], now: float) -> Entry:
    return next((entry for entry in reversed(living) if entry.signs_from <= now), living[0])


def _times(entry: Entry) -> tuple[float, ...]:
    return (entry.signs_from,) if entry.ends_at is None else (entry.signs_from, entry.ends_at)


def _superseded(entry: Entry, made: Entry, overlap: float, announced: Sequence[Entry]) -> Entry:
    """A key as it is beside a newer one, which signs later than this one, whatever the clock said when this one was made."""
    if entry in announced:
        return replace(entry, ends_at=made.made_at)
    signs_from = min(entry.signs_from, made.signs_from - _A_LITTLE)
    ends_at = made.signs_from + overlap
    return replace(entry, signs_from=signs_from, ends_at=ends_at if entry.ends_at is None else min(entry.ends_at, ends_at))


def _described(entry: Entry, key: SigningKey, signing: SigningKey, now: float) -> OwnKey:
    state = SIGNING if key is signing else ANNOUNCED if entry.signs_from > now else SUPERSEDED
    public = thumbprint(key.private_key.public_key())
    return OwnKey(key.keyid, public, key.algorithm, state, entry.made_at, entry.signs_from, entry.ends_at)


def _parse(path: Path, content: bytes, host: str) -> list[Entry]:
    try:
        document = json.loads(content)
        if document["version"] != _VERSION:
            raise malformed(path, "was written by a newer version of this program")
        if (of := document.get("host", host)) != host:
            raise _foreign(path, of, host)
        return [_entry(found) for found in document["keys"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise malformed(path, "is no list of keys") from None


def _foreign(path: Path, of: object, host: str) -> KeyUnusable:
    return KeyUnusable(
        f"The signing keys in {path.parent} are those of {of}, and the origin of this server is at {host}.",
        code="keys-of-other-server",
        hint="If the origin is right: move ring.json and signing*.pem away and run ocm init (docs/operate/new-domain.md).",
    )


def _entry(found: dict[str, object]) -> Entry:
    entry = Entry(**found)  # type: ignore[arg-type]
    numbers = (entry.made_at, entry.signs_from, *(() if entry.ends_at is None else (entry.ends_at,)))
    if not all(type(number) in (int, float) for number in numbers):
        raise TypeError("times are numbers")
    if not re.fullmatch(r"signing[A-Za-z0-9_-]*\.pem", entry.file) or entry.algorithm not in (*ALGORITHMS, ""):
        raise ValueError("no key of ours")
    return entry
