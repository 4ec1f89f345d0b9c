"""The RSA key for draft-cavage: made once, private, and refused where it is none."""

import pickle
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from opencloudmesh.adapters.keys import KeyUnusable, create_signing_key, load_cavage_key

ORIGIN = "https://cloud.example.org"


def test_it_is_made_once_and_signs(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "cavage.pem"
    key = load_cavage_key(path, ORIGIN)
    assert path.stat().st_mode & 0o777 == 0o600
    assert key.keyid == "https://cloud.example.org/ocm#signature"
    public = load_pem_public_key(key.public_key_pem.encode())
    assert isinstance(public, rsa.RSAPublicKey)
    assert public.key_size == 3072
    public.verify(key.sign(b"text"), b"text", padding.PKCS1v15(), hashes.SHA512())
    assert load_cavage_key(path, ORIGIN).public_key_pem == key.public_key_pem


def test_nothing_private_is_shown(tmp_path: Path) -> None:
    key = load_cavage_key(tmp_path / "cavage.pem", ORIGIN)
    assert repr(key) == "CavageKey(keyid='https://cloud.example.org/ocm#signature')"
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_a_file_that_is_no_such_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cavage.pem"
    create_signing_key(path)  # Ed25519
    weak = rsa.generate_private_key(65537, 1024).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # noqa: S505
    contents = [path.read_bytes(), weak, b"garbage", b""]
    assert load_pem_private_key(weak, None)
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(KeyUnusable) as refused:
            load_cavage_key(path, ORIGIN)
        assert (refused.value.code, str(path) in refused.value.sentence) == ("key-malformed", True)
        assert "another key is made" in refused.value.hint
    path.chmod(0o644)
    with pytest.raises(KeyUnusable) as refused:
        load_cavage_key(path, ORIGIN)
    assert refused.value.code == "key-not-private"
