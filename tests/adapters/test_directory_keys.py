"""The keys of a directory in every form in which an operator may get them."""

import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey

from opencloudmesh.adapters.keys import KeyUnusable
from opencloudmesh.adapters.keys.directory_keys import load_directory_keys

EC = ECKey.generate_key("P-256")
ED = OKPKey.generate_key("Ed25519")


def written(path: Path, content: Any) -> Path:
    file = path / "keys"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return file


@pytest.mark.parametrize(
    ("content", "count"),
    [
        ({"keys": [EC.as_dict(private=False), ED.as_dict(private=False)]}, 2),
        (EC.as_dict(private=False), 1),
        (EC.as_pem(private=False), 1),
        (ED.as_pem(private=False), 1),
    ],
)
def test_every_form(tmp_path: Path, content: Any, count: int) -> None:
    assert len(load_directory_keys(written(tmp_path, content))) == count


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1]",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        OKPKey.generate_key("X25519").as_pem(private=False),
        {"kty": "RSA", "n": "w" * 171, "e": "AQAB"},
        OctKey.generate_key(256).as_dict(),
        EC.as_dict(private=True),
        {"keys": []},
        {"keys": 1},
        {"keys": [1]},
    ],
)
def test_what_holds_no_key(tmp_path: Path, content: Any) -> None:
    with pytest.raises(KeyUnusable) as caught:
        load_directory_keys(written(tmp_path, content))
    assert caught.value.code == "key-malformed"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable) as caught:
        load_directory_keys(tmp_path / "none")
    assert caught.value.code == "key-missing"
    with pytest.raises(KeyUnusable) as caught:
        load_directory_keys(tmp_path)
    assert caught.value.code == "key-unreadable"
