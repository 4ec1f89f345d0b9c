"""The ring of our signing keys: which signs, which are published, when that changes, and that no kill breaks it."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opencloudmesh.adapters.keys import KeyFolder, KeyRing, KeyUnusable, create_signing_key, key_folder
from opencloudmesh.adapters.keys.key_folder import RING
from opencloudmesh.adapters.tokens import JwtIssuer
from opencloudmesh.protocol.errors import Conflict, InvalidInput, NotFound, OCMError
from opencloudmesh.protocol.http_signatures import Request, sign, verify
from opencloudmesh.protocol.jwks import ALGORITHMS, ED25519, parse_key_set
from opencloudmesh.services.ports import OwnKeyRing, Signer

HOST = "cloud.example.org"
NOW = 1_800_000_000.0
HOUR, DAY = 3600.0, 86400.0


class Time:
    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    """As `ocm init` makes it."""
    made = KeyFolder(tmp_path / "keys", HOST)
    made.make_first(ED25519, NOW - DAY)
    return made


def rotate(folder: KeyFolder, at: float = NOW, *, kind: str = ED25519, lead: float = HOUR, overlap: float = DAY) -> str:
    return folder.rotate(kind, now=at, lead=lead, overlap=overlap).kid


def states(folder: KeyFolder, at: float) -> list[tuple[str, str]]:
    return [(key.kid, key.state) for key in folder.read(at).described(at)]


def code(act: Callable[[], Any]) -> str:
    with pytest.raises(OCMError) as raised:
        act()
    assert raised.value.hint
    return raised.value.code


def files(folder: KeyFolder) -> set[str]:
    return {path.name for path in folder.folder.iterdir()}


# ---------------------------------------------------------------- one rotation
@pytest.mark.spec("SIG-11")
def test_old_and_new_key_stand_side_by_side_and_the_new_one_signs_after_the_lead(folder: KeyFolder) -> None:
    old = folder.read(NOW).signing.keyid
    new = rotate(folder)
    assert states(folder, NOW + HOUR - 1) == [(old, "signing"), (new, "announced")]
    assert states(folder, NOW + HOUR) == [(old, "superseded"), (new, "signing")]
    assert states(folder, NOW + HOUR + DAY - 1) == [(old, "superseded"), (new, "signing")]
    assert states(folder, NOW + HOUR + DAY) == [(new, "signing")]
    assert stat.S_IMODE((folder.folder / RING).stat().st_mode) == 0o600


def test_at_once_and_again_and_again(folder: KeyFolder) -> None:
    kids = [folder.read(NOW).signing.keyid, *(rotate(folder, NOW + n, lead=0) for n in range(3))]
    assert states(folder, NOW + 3) == [(kid, "superseded") for kid in kids[:-1]] + [(kids[-1], "signing")]
    assert [key.ends_at for key in folder.read(NOW + 3).described(NOW + 3)] == [NOW + DAY, NOW + 1 + DAY, NOW + 2 + DAY, None]


def test_one_announced_key_at_a_time_unless_in_haste(folder: KeyFolder) -> None:
    old, announced = folder.read(NOW).signing.keyid, rotate(folder)
    assert code(lambda: rotate(folder)) == "key-rotation-pending"
    new = rotate(folder, lead=0)
    assert states(folder, NOW + 2 * HOUR) == [(old, "superseded"), (new, "signing")], "what was announced never signs"
    assert announced not in [kid for kid, _ in states(folder, NOW)]
    assert len([name for name in files(folder) if name.endswith(".pem")]) == 2


@pytest.mark.parametrize("kind", sorted(ALGORITHMS))
def test_every_kind_signs_what_its_published_key_verifies(folder: KeyFolder, time: Time, kind: str) -> None:
    made = folder.rotate(kind, now=NOW, lead=0, overlap=DAY)
    ring: Signer = KeyRing(folder, time)
    assert (made.algorithm, ring.algorithm, ring.keyid) == (kind, kind, made.kid)
    request = Request("POST", "https://other.example.org/ocm/shares", (), b"{}")
    added = sign(request, keyid=ring.keyid, algorithm=ring.algorithm, sign=ring.sign, created=1)
    keys = parse_key_set(json.dumps(ring.public_jwks()).encode())
    assert len(keys) == 2
    assert verify(Request(request.method, request.target_uri, added, request.body), keys, now=1).keyid == ring.keyid


def test_another_kind_from_the_beginning(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path / "keys", HOST)
    assert folder.make_first("rsa-v1_5-sha256", NOW).startswith("made ")
    kid = folder.read(NOW).signing.keyid
    assert folder.read(NOW).signing.algorithm == "rsa-v1_5-sha256"
    assert folder.make_first(ED25519, NOW).startswith("kept ")
    assert folder.read(NOW).signing.keyid == kid


def test_what_is_no_kind(folder: KeyFolder) -> None:
    with pytest.raises(InvalidInput):
        folder.rotate("hmac-sha256", now=NOW, lead=0, overlap=DAY)
    assert files(folder) == {"signing.pem"}


# ---------------------------------------------------------------- taking keys away
def test_a_retired_key_is_gone_at_once_with_its_file(folder: KeyFolder) -> None:
    old = folder.read(NOW).signing.keyid
    new = rotate(folder, lead=0)
    assert folder.retire(old, now=NOW).ends_at == NOW
    assert states(folder, NOW) == [(new, "signing")]
    assert "signing.pem" not in files(folder)
    assert code(lambda: folder.retire(new, now=NOW)) == "key-last"
    assert code(lambda: folder.retire(old, now=NOW)) == "key-unknown"


def test_an_announced_key_is_taken_back_and_the_old_one_stays(folder: KeyFolder) -> None:
    old = folder.read(NOW).signing.keyid
    folder.retire(rotate(folder).partition("#")[2], now=NOW)
    assert states(folder, NOW + 10 * DAY) == [(old, "signing")]


def test_where_the_signing_key_is_taken_away_the_announced_one_signs_before_its_time(folder: KeyFolder) -> None:
    old, new = folder.read(NOW).signing.keyid, rotate(folder)
    folder.retire(old, now=NOW)
    assert states(folder, NOW) == [(new, "signing")]


def test_ended_keys_are_swept_with_their_files(folder: KeyFolder) -> None:
    new = rotate(folder, lead=0)
    folder.sweep(NOW + DAY - 1)
    assert "signing.pem" in files(folder)
    folder.sweep(NOW + DAY)
    assert files(folder) == {RING, f"signing-{new.partition('#')[2]}.pem"}
    before = (folder.folder / RING).read_bytes()
    folder.sweep(NOW + 2 * DAY)
    assert (folder.folder / RING).read_bytes() == before


# ---------------------------------------------------------------- clocks
def test_a_clock_that_was_wrong_leaves_a_key_that_signs(folder: KeyFolder) -> None:
    ahead = rotate(folder, NOW + 1000 * DAY, lead=0)
    assert [state for _, state in states(folder, NOW)].count("signing") == 1
    new = rotate(folder, NOW + 1, lead=0)
    assert states(folder, NOW + 1)[-1] == (new, "signing")
    assert states(folder, NOW + 1 + DAY) == [(new, "signing")]
    assert ahead not in dict(states(folder, NOW + 1)), "it was not announced to anybody"


# ---------------------------------------------------------------- kills
class Killed(BaseException):
    pass


WRITES = ("write_signing_key", "replace_key_file", "remove_key_file")


def killed_at(patch: pytest.MonkeyPatch, step: int) -> None:
    """Die before the write that is step // 2, or after it where the step is odd."""
    done = 0

    def deadly(write: Callable[..., None]) -> Callable[..., None]:
        def act(*given: Any) -> None:
            nonlocal done
            this, done = done, done + 1
            if (this, step % 2) == (step // 2, 0):
                raise Killed
            write(*given)
            if (this, step % 2) == (step // 2, 1):
                raise Killed

        return act

    for name in WRITES:
        patch.setattr(key_folder, name, deadly(getattr(key_folder, name)))


ACTS: dict[str, Callable[[KeyFolder], Any]] = {
    "rotate": lambda folder: rotate(folder, NOW + 2 * HOUR),
    "rotate at once": lambda folder: rotate(folder, NOW + 10, lead=0),
    "rotate after an end": lambda folder: rotate(folder, NOW + 2 * DAY, lead=0),
    "retire": lambda folder: folder.retire(folder.read(NOW).signing.keyid, now=NOW),
    "sweep": lambda folder: folder.sweep(NOW + 2 * DAY),
}


@pytest.mark.parametrize("act", ACTS)
def test_a_kill_between_any_two_writes_leaves_a_ring_of_use(tmp_path: Path, act: str) -> None:
    deaths = 0
    for step in range(40):
        folder = KeyFolder(tmp_path / f"{step}", HOST)
        folder.make_first(ED25519, NOW - DAY)
        rotate(folder)
        with pytest.MonkeyPatch.context() as patch:
            killed_at(patch, step)
            try:
                ACTS[act](folder)
            except Killed:
                deaths += 1
            else:
                break
        for at in (NOW + 2 * DAY, NOW + 4 * DAY):
            ring = folder.read(at)
            assert ring.signing in ring.published
        final = rotate(folder, NOW + 4 * DAY, lead=0)
        folder.sweep(NOW + 6 * DAY)
        assert states(folder, NOW + 6 * DAY) == [(final, "signing")]
        left = files(folder) - {f".{RING}.new"}
        assert left == {RING, f"signing-{final.partition('#')[2]}.pem"}, "nothing private is left behind"
    assert deaths >= 4


# ---------------------------------------------------------------- files that are lost or wrong
def test_a_key_file_that_the_ring_does_not_name_is_never_removed(folder: KeyFolder) -> None:
    stray = folder.folder / "signing-AAAAAAAAAAAAAAAA.pem"
    rotate(folder)
    stray.write_bytes(b"somebody's")
    rotate(folder, NOW + 2 * HOUR, lead=0)
    folder.retire(folder.read(NOW + 2 * HOUR).signing.keyid, now=NOW + 2 * HOUR)
    folder.sweep(NOW + 9 * DAY)
    assert stray.read_bytes() == b"somebody's"


@pytest.mark.parametrize("signs", ["signing.pem", "another"])
def test_where_the_ring_is_lost_nothing_is_made_and_nothing_removed(folder: KeyFolder, signs: str) -> None:
    rotate(folder, lead=0)
    folder.ring_file.rename(folder.folder / "elsewhere")
    if signs == "another":
        (folder.folder / "signing.pem").unlink()
        assert code(lambda: folder.make_first(ED25519, NOW)) == "key-ring-missing"
    before = files(folder)
    assert code(lambda: rotate(folder, NOW + 1, lead=0)) == code(lambda: folder.read(NOW)) == "key-ring-missing"
    assert files(folder) - before <= {".lock"}
    (folder.folder / "elsewhere").rename(folder.ring_file)
    assert folder.read(NOW).signing


@pytest.mark.parametrize("named", ["../secrets.key", "secrets.key", 5])
def test_what_is_no_key_of_ours_is_not_removed(folder: KeyFolder, named: object) -> None:
    rotate(folder)
    secrets = folder.folder / "secrets.key"
    secrets.write_bytes(b"x")
    folder.ring_file.write_text(json.dumps(json.loads(folder.ring_file.read_text()) | {"making": named}))
    rotate(folder, NOW + 2 * HOUR, lead=0)
    assert secrets.exists()


def test_a_lost_key_that_is_only_published_is_left_out(folder: KeyFolder) -> None:
    new = rotate(folder, lead=0)
    (folder.folder / "signing.pem").unlink()
    assert states(folder, NOW) == [(new, "signing")]


def test_a_lost_key_that_signs_is_an_error_until_init_makes_another(folder: KeyFolder) -> None:
    new = rotate(folder, lead=0)
    (folder.folder / f"signing-{new.partition('#')[2]}.pem").unlink()
    with pytest.raises(KeyUnusable) as raised:
        folder.read(NOW)
    assert raised.value.code == "key-missing"
    assert folder.make_first(ED25519, NOW).startswith("made ")
    assert [state for _, state in states(folder, NOW)] == ["superseded", "signing"]


def entry(**changes: Any) -> dict[str, Any]:
    return {"file": "signing.pem", "algorithm": "", "made_at": 1.0, "signs_from": 1.0, "ends_at": None} | changes


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{" * 100_000,
        json.dumps({"version": 2, "keys": [entry()]}).encode(),
        json.dumps({"version": 1, "keys": []}).encode(),
        json.dumps({"version": 1, "keys": [5]}).encode(),
        json.dumps({"version": 1, "keys": [{"file": "signing.pem"}]}).encode(),
        json.dumps({"version": 1, "keys": [entry(file="../signing.pem")]}).encode(),
        json.dumps({"version": 1, "keys": [entry(file="secrets.key")]}).encode(),
        json.dumps({"version": 1, "keys": [entry(algorithm="none")]}).encode(),
        json.dumps({"version": 1, "keys": [entry(ends_at="never")]}).encode(),
        json.dumps({"version": 1, "keys": [entry(signs_from=True)]}).encode(),
        json.dumps({"version": 1, "keys": [entry(ends_at=2.0)]}).encode(),
    ],
)
def test_what_is_no_ring(folder: KeyFolder, content: bytes) -> None:
    (folder.folder / RING).write_bytes(content)
    (folder.folder / RING).chmod(0o600)
    assert code(lambda: folder.read(NOW)) == "key-malformed"


def test_a_ring_that_others_may_write_is_not_read(folder: KeyFolder) -> None:
    rotate(folder)
    (folder.folder / RING).chmod(0o666)
    assert code(lambda: folder.read(NOW)) == "key-not-private"


def test_without_a_folder_there_are_no_keys(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path / "none", HOST)
    assert code(lambda: folder.read(NOW)) == "key-missing"
    assert code(lambda: rotate(folder)) == "key-unreadable"


# ---------------------------------------------------------------- a running process
async def test_a_running_process_follows_the_folder_and_the_clock(folder: KeyFolder, time: Time) -> None:
    ring = KeyRing(folder, time)
    ring_of_port: OwnKeyRing = ring
    heard: list[tuple[str, int]] = []
    ring.on_change.append(lambda: heard.append((ring.keyid, len(ring.public_jwks()["keys"]))))
    old = ring.keyid
    await ring.follow()
    assert heard == []
    new = rotate(KeyFolder(folder.folder, HOST))  # a command beside it
    await ring.follow()
    assert (ring.keyid, heard) == (old, [(old, 2)])
    time.now += HOUR
    await ring.follow()
    assert (ring.keyid, heard) == (new, [(old, 2), (new, 2)])
    time.now += DAY
    await ring.follow()
    assert heard[2:] == [(new, 1)]
    assert "signing.pem" not in files(folder)
    assert [key.kid for key in ring_of_port.described()] == [new]


async def test_a_folder_that_cannot_be_read_changes_nothing(folder: KeyFolder, time: Time) -> None:
    ring = KeyRing(folder, time)
    (folder.folder / RING).write_text("nonsense")
    for _ in range(2):
        await ring.follow()
    assert ring.keyid.startswith(f"{HOST}#")
    (folder.folder / RING).unlink()
    new = rotate(folder, lead=0)
    await ring.follow()
    assert ring.keyid == new


async def test_it_looks_by_itself(folder: KeyFolder, time: Time) -> None:
    ring = KeyRing(folder, time)
    new = rotate(folder, lead=0)
    looks = 0

    async def pause(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks > 1:
            raise Killed

    with pytest.raises(Killed):
        await ring.run(pause)
    assert ring.keyid == new


async def test_a_folder_that_is_read_only_still_serves(folder: KeyFolder, time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = KeyRing(folder, time)
    new = ring.rotate(ED25519, lead=0, overlap=DAY).kid
    time.now += 2 * DAY

    def refuse(*_: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "unlink", refuse)
    await ring.follow()
    assert [key.keyid for key in ring.published] == [new]


def test_nothing_private_is_shown(folder: KeyFolder, time: Time) -> None:
    import pickle

    ring = KeyRing(folder, time)
    assert repr(ring) == f"KeyRing(keyid='{ring.keyid}', published=1)"
    with pytest.raises(TypeError):
        pickle.dumps(ring)


# ---------------------------------------------------------------- access tokens
async def test_tokens_of_the_old_key_hold_until_their_end_or_until_it_is_retired(folder: KeyFolder, time: Time) -> None:
    ring = KeyRing(folder, time)
    issuer = JwtIssuer(ring, f"https://{HOST}")
    first, old = issuer.issue({"exp": NOW + 300}), ring.keyid
    assert issuer.verify(first, NOW) is not None
    ring.rotate("ecdsa-p256-sha256", lead=0, overlap=DAY)
    await ring.follow()
    second = issuer.issue({"exp": NOW + 300})
    assert first.partition(".")[0] != second.partition(".")[0]
    for token in (first, second):
        assert issuer.verify(token, NOW + 299) is not None
        assert issuer.verify(token, NOW + 300) is None
    ring.retire(old)
    await ring.follow()
    assert issuer.verify(first, NOW) is None, "though it was remembered"
    assert issuer.verify(second, NOW) is not None


def test_a_key_file_of_before_rings_is_a_ring(tmp_path: Path) -> None:
    create_signing_key(tmp_path / "signing.pem", "rsa-pss-sha512")
    folder = KeyFolder(tmp_path, HOST)
    (only,) = folder.read(NOW).described(NOW)
    assert (only.algorithm, only.state, only.ends_at) == ("rsa-pss-sha512", "signing", None)
    with pytest.raises(NotFound):
        folder.retire("x", now=NOW)
    with pytest.raises(Conflict):
        folder.retire(only.kid, now=NOW)


def test_a_ring_of_another_host_is_refused(folder: KeyFolder) -> None:
    rotate(folder)
    other = KeyFolder(folder.folder, "new.example.org")
    for act in (lambda: other.read(NOW), lambda: other.make_first(ED25519, NOW), lambda: rotate(other)):
        assert code(act) == "keys-of-other-server"
    ring = json.loads(folder.ring_file.read_bytes())
    assert ring.pop("host") == HOST
    folder.ring_file.write_text(json.dumps(ring))
    assert len(other.read(NOW).published) == 2, "written before rings named their host"
    folder.ring_file.unlink()
    for path in folder.folder.glob("signing*.pem"):
        path.unlink()
    assert other.make_first(ED25519, NOW).startswith("made ")
    assert other.read(NOW).signing.keyid.startswith("new.example.org#")
