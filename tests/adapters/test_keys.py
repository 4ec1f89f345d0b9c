"""Our own keys: the files, the signing key, the secret box."""

import copy
import os
import pickle
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.adapters.keys import (
    KeyUnusable,
    SealBroken,
    SecretBox,
    SigningKey,
    create_secret_key,
    create_signing_key,
    load_secret_box,
    load_signing_key,
)
from opencloudmesh.protocol.errors import Conflict
from opencloudmesh.protocol.http_signatures import Request, sign, verify
from opencloudmesh.protocol.jwks import ALGORITHMS, parse_key_set, thumbprint
from opencloudmesh.services.ports import Signer

HOST = "cloud.example.org"
Create = Callable[[Path], None]
Load = Callable[[Path], Any]
KINDS: list[tuple[Create, Load]] = [
    (create_signing_key, lambda path: load_signing_key(path, HOST)),
    (create_secret_key, load_secret_box),
]
ANY_KIND = pytest.mark.parametrize(("create", "load"), KINDS, ids=["signing", "secret"])


def pem(private_key: Any, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)  # type: ignore[no-any-return]


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def fault(load: Callable[[Path], Any], path: Path) -> str:
    """The code of the error, which names the file and says what to do."""
    with pytest.raises(KeyUnusable) as raised:
        load(path)
    assert str(path) in raised.value.sentence
    assert str(path) in raised.value.hint
    assert raised.value.__cause__ is None
    return raised.value.code


# ---------------------------------------------------------------- files
@ANY_KIND
def test_a_key_file_is_private_whatever_the_umask(tmp_path: Path, create: Create, load: Load) -> None:
    path = tmp_path / "keys" / "a.key"
    before = os.umask(0o777)
    os.umask(before)
    for umask in (0o000, 0o077, 0o277):
        path = tmp_path / f"{umask:o}" / "a.key"
        path.parent.mkdir(mode=0o700)
        os.umask(umask)
        try:
            create(path)
        finally:
            os.umask(before)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        load(path)


@ANY_KIND
def test_the_folder_is_made_private(tmp_path: Path, create: Create, load: Load) -> None:
    create(tmp_path / "keys" / "a.key")
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


@ANY_KIND
def test_an_existing_file_is_never_overwritten(tmp_path: Path, create: Create, load: Load) -> None:
    path = write(tmp_path / "a.key", b"precious")
    link = tmp_path / "b.key"
    link.symlink_to(tmp_path / "nowhere")
    for taken in (path, link):
        with pytest.raises(Conflict, match=str(taken)) as raised:
            create(taken)
        assert raised.value.code == "key-exists"
    assert path.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()


@ANY_KIND
def test_a_key_that_cannot_be_written_leaves_no_file(
    tmp_path: Path, create: Create, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "file", b"")
    assert fault(create, tmp_path / "file" / "a.key") == "key-not-writable"

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert fault(create, tmp_path / "a.key") == "key-not-writable"
    assert not (tmp_path / "a.key").exists()
    create(tmp_path / "a.key")


@ANY_KIND
@pytest.mark.parametrize("mode", [0o604, 0o640, 0o602, 0o620, 0o601, 0o777])
def test_a_file_that_others_may_use_is_not_used(tmp_path: Path, create: Create, load: Load, mode: int) -> None:
    path = tmp_path / "a.key"
    create(path)
    path.chmod(mode)
    assert fault(load, path) == "key-not-private"
    path.chmod(0o400)
    load(path)


@ANY_KIND
def test_a_file_that_is_not_there_or_none(tmp_path: Path, create: Create, load: Load) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    assert fault(load, tmp_path / "missing") == "key-missing"
    assert fault(load, tmp_path) == "key-unreadable"
    assert fault(load, tmp_path / "fifo") == "key-unreadable"
    assert fault(load, write(tmp_path / "large", bytes(70_000))) == "key-malformed"


@ANY_KIND
def test_a_folder_of_somebody_else(tmp_path: Path, create: Create, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", denied)
        assert fault(load, tmp_path / "a.key") == "key-unreadable"
        assert fault(create, tmp_path / "a.key") == "key-not-writable"


@ANY_KIND
def test_a_disk_that_fails(tmp_path: Path, create: Create, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: int) -> os.stat_result:
        raise OSError(5, "Input/output error")

    create(tmp_path / "a.key")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", broken)
        assert fault(load, tmp_path / "a.key") == "key-unreadable"


# ---------------------------------------------------------------- the signing key
def as_signer(key: SigningKey) -> Signer:
    return key


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_every_kind_of_key_signs_what_its_published_key_verifies(tmp_path: Path, algorithm: str) -> None:
    path = tmp_path / "signing.pem"
    create_signing_key(path, algorithm)
    key = as_signer(load_signing_key(path, HOST, algorithm=algorithm if algorithm.startswith("rsa") else None))
    request = Request("POST", "https://other.example.org/ocm/shares", (), b"{}")
    added = sign(request, keyid=key.keyid, algorithm=key.algorithm, sign=key.sign, created=1)
    keys = parse_key_set(str(key.public_jwks()).replace("'", '"').encode())
    assert key.algorithm == algorithm
    assert verify(Request(request.method, request.target_uri, added, request.body), keys, now=1).keyid == key.keyid


def test_the_default_is_ed25519_and_the_keyid_names_host_and_key(tmp_path: Path) -> None:
    create_signing_key(tmp_path / "a.pem")
    create_signing_key(tmp_path / "b.pem")
    first, again, second = (load_signing_key(tmp_path / name, HOST) for name in ("a.pem", "a.pem", "b.pem"))
    (jwk,) = first.public_jwks()["keys"]
    assert first.keyid == f"{HOST}#{thumbprint(first.private_key.public_key())[:16]}"
    assert (jwk["kid"], jwk["alg"], jwk["crv"], "d" in jwk) == (first.keyid, "EdDSA", "Ed25519", False)
    assert first.keyid == again.keyid != second.keyid


def test_an_rsa_key_signs_with_pss_unless_told_otherwise(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pem", pem(rsa.generate_private_key(65537, 2048)))
    assert load_signing_key(path, HOST).algorithm == "rsa-pss-sha512"
    assert load_signing_key(path, HOST, algorithm="rsa-v1_5-sha256").public_jwks()["keys"][0]["alg"] == "RS256"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        bytes(range(256)),
        pem(ed25519.Ed25519PrivateKey.generate(), b"a passphrase"),
        ed25519.Ed25519PrivateKey.generate().private_bytes_raw(),
        pem(ec.generate_private_key(ec.SECP521R1())),
        pem(rsa.generate_private_key(65537, 1024)),  # noqa: S505
        pem(dsa.generate_private_key(2048)),
    ],
    ids=["empty", "no-key", "binary", "encrypted", "raw", "p-521", "rsa-1024", "dsa"],
)
def test_what_is_no_signing_key(tmp_path: Path, content: bytes) -> None:
    assert fault(lambda path: load_signing_key(path, HOST), write(tmp_path / "a.pem", content)) == "key-malformed"


def test_a_key_that_does_not_fit_its_algorithm(tmp_path: Path) -> None:
    path = tmp_path / "a.pem"
    create_signing_key(path)
    assert fault(lambda path: load_signing_key(path, HOST, algorithm="rsa-pss-sha512"), path) == "key-malformed"
    with pytest.raises(ValueError, match="any algorithm"):
        SigningKey(ec.generate_private_key(ec.SECP521R1()), host=HOST)
    with pytest.raises(ValueError, match="hmac-sha256"):
        create_signing_key(tmp_path / "b.pem", "hmac-sha256")
    assert not (tmp_path / "b.pem").exists()


# ---------------------------------------------------------------- the secret box
BOX = SecretBox(bytes(range(32)))


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_what_was_sealed_opens_with_the_same_context(clear: bytes, context: bytes) -> None:
    sealed = BOX.seal(clear, context)
    assert BOX.open(sealed, context) == clear
    assert len(clear) < 4 or clear not in sealed


@given(st.binary(max_size=20), st.data())
def test_no_byte_of_a_seal_can_be_changed(clear: bytes, data: st.DataObject) -> None:
    sealed = bytearray(BOX.seal(clear, b"row 1"))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SealBroken) as broken:
        BOX.open(bytes(sealed), b"row 1")
    assert broken.value.code == "seal-broken"


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" + bytes(5), b"\x01" + bytes(27), b"\x02" + bytes(40)])
def test_a_truncated_seal_does_not_open(sealed: bytes) -> None:
    with pytest.raises(SealBroken):
        BOX.open(sealed, b"")


def test_another_row_or_another_key_does_not_open() -> None:
    sealed = BOX.seal(b"secret", b"row 1")
    for box, context in ((BOX, b"row 2"), (SecretBox(bytes(32)), b"row 1")):
        with pytest.raises(SealBroken):
            box.open(sealed, context)
    assert BOX.seal(b"secret", b"row 1") != sealed


def test_the_keyed_hash_finds_again_and_needs_the_key() -> None:
    assert BOX.keyed_hash("secret") == SecretBox(bytes(range(32))).keyed_hash("secret")
    assert BOX.keyed_hash("secret") not in {BOX.keyed_hash("Secret"), SecretBox(bytes(32)).keyed_hash("secret")}
    assert len(BOX.keyed_hash("\udcff")) == 32


@pytest.mark.parametrize("content", [b"", b"AAAA\n", b"!" * 44, bytes(32), b"A" * 44, b"A" * 42 + b"==A"])
def test_what_is_no_secret_key(tmp_path: Path, content: bytes) -> None:
    assert fault(load_secret_box, write(tmp_path / "a.key", content)) == "key-malformed"


def test_keys_show_nothing_and_are_not_copied_away(tmp_path: Path) -> None:
    create_signing_key(tmp_path / "a.pem")
    key = load_signing_key(tmp_path / "a.pem", HOST)
    assert repr(BOX) == "SecretBox(***)"
    assert repr(key) == f"SigningKey(keyid={key.keyid!r}, algorithm='ed25519')"
    for secret in (key, BOX):
        with pytest.raises(TypeError):
            pickle.dumps(secret)
        with pytest.raises(TypeError):
            copy.copy(secret)
