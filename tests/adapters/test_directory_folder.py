"""A directory of our own as files: lists, keys and the document that readers verify."""

import json
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from opencloudmesh.adapters.directory_folder import LIST, PUBLIC, SIGNED, DirectoryFolder
from opencloudmesh.adapters.keys.directory_keys import load_directory_keys
from opencloudmesh.protocol.directory_service import Directory, parse_directory
from opencloudmesh.protocol.errors import OCMError

NOW = 1_700_000_000.0


@pytest.fixture
def directory(tmp_path: Path) -> DirectoryFolder:
    return DirectoryFolder(tmp_path / "directory", clock=lambda: NOW)


def read(directory: DirectoryFolder, keys: Path | None = None) -> Directory:
    """As a member reads it."""
    return parse_directory((directory.folder / SIGNED).read_bytes(), load_directory_keys(keys or directory.folder / PUBLIC))


def listed(directory: DirectoryFolder, kind: str = "ES256") -> DirectoryFolder:
    directory.make_key(kind)
    directory.name("Campus")
    directory.add("https://one.example.org", "One")
    return directory


@pytest.mark.spec("DIR-1")
@pytest.mark.parametrize("kind", ["ES256", "EdDSA"])
@pytest.mark.parametrize("form", ["set", "pem"])
def test_what_is_signed_holds_for_who_has_the_public_key(
    directory: DirectoryFolder, kind: str, form: str, tmp_path: Path
) -> None:
    listed(directory, kind)
    directory.sign()
    document = json.loads((directory.folder / SIGNED).read_bytes())
    assert set(document) == {"payload", "protected", "signature"}
    (key,) = directory.keys()
    (tmp_path / "pem").write_text(key.pem)
    found = read(directory, None if form == "set" else tmp_path / "pem")
    assert (found.federation, [server.host for server in found.servers], found.signed_at) == ("Campus", ["one.example.org"], NOW)


def test_private_keys_are_nobody_elses(directory: DirectoryFolder) -> None:
    listed(directory)
    directory.sign()
    secret = next((directory.folder / "keys").glob("*.pem"))
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    shown = repr(directory.keys()) + (directory.folder / PUBLIC).read_text() + (directory.folder / SIGNED).read_text()
    assert "PRIVATE" not in shown
    assert '"d"' not in shown
    secret.chmod(0o644)
    with pytest.raises(OCMError) as caught:
        directory.sign()
    assert caught.value.code == "key-not-private"


def test_a_change_of_keys_leaves_no_gap(directory: DirectoryFolder, tmp_path: Path) -> None:
    listed(directory)
    old = directory.keys()[0]
    directory.sign()
    new = directory.make_key("EdDSA")
    directory.sign()
    assert read(directory).signed_by == old.kid
    both = tmp_path / "handed-out.json"
    both.write_bytes((directory.folder / PUBLIC).read_bytes())
    with pytest.raises(OCMError) as caught:
        directory.retire_key(old.kid)
    assert caught.value.code == "key-in-use"
    directory.use_key(new.kid)
    assert read(directory, both).signed_by == old.kid  # until it is signed again
    directory.sign()
    assert read(directory, both).signed_by == new.kid
    directory.retire_key(old.kid.partition("#")[2])
    directory.sign()
    assert read(directory, both).signed_by == new.kid
    assert len(json.loads((directory.folder / PUBLIC).read_bytes())["keys"]) == 1
    for act in (directory.use_key, directory.retire_key):
        with pytest.raises(OCMError) as caught:
            act(old.kid)
        assert caught.value.code == "key-unknown"


def test_a_server_is_listed_once(directory: DirectoryFolder) -> None:
    listed(directory)
    directory.add("https://ONE.example.org:443/", "Again")
    directory.add("http://192.0.2.1:8080", "Two")
    assert [server.display_name for server in directory.list()[1]] == ["Again", "Two"]
    directory.remove("one.example.org")
    directory.remove("http://192.0.2.1:8080")
    assert directory.list() == ("Campus", [])
    with pytest.raises(OCMError) as caught:
        directory.remove("one.example.org")
    assert caught.value.code == "server-unknown"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "directory-unreadable"),
        (b'{"federation": "F"}', "directory-unreadable"),
        (b'{"federation": "F", "servers": [1]}', "directory-unreadable"),
        (b'{"federation": "F", "servers": [{"url": "https://a/b", "displayName": "A"}]}', "server-invalid"),
        (b'{"federation": "a\\nb", "servers": []}', "federation-invalid"),
    ],
)
def test_a_list_that_somebody_edited_is_checked(directory: DirectoryFolder, content: bytes, code: str) -> None:
    listed(directory)
    directory.sign()
    before = (directory.folder / SIGNED).read_bytes()
    (directory.folder / LIST).write_bytes(content)
    with pytest.raises(OCMError) as caught:
        directory.sign()
    assert caught.value.code == code
    assert (directory.folder / SIGNED).read_bytes() == before


def test_what_is_missing_is_named(directory: DirectoryFolder, tmp_path: Path) -> None:
    for act, code in (
        (directory.keys, "key-missing"),
        (directory.sign, "federation-missing"),
        (lambda: directory.add("https://a.example.org", "A"), "federation-missing"),
        (lambda: directory.use_key("a"), "key-missing"),
    ):
        with pytest.raises(OCMError) as caught:
            act()  # type: ignore[no-untyped-call]
        assert caught.value.code == code
    directory.name("F")
    with pytest.raises(OCMError) as caught:
        directory.sign()
    assert caught.value.code == "key-missing"
    listed(directory)
    (tmp_path / "file").write_text("")
    with pytest.raises(OCMError) as caught:
        directory.sign(tmp_path / "file" / "below")
    assert caught.value.code == "directory-not-writable"
    (directory.folder / "keys" / "signs").write_text("AAAAAAAAAAAAAAAA")
    with pytest.raises(OCMError) as caught:
        directory.sign()
    assert caught.value.code == "key-malformed"


def test_who_reads_while_it_is_signed_has_a_whole_document(directory: DirectoryFolder) -> None:
    listed(directory)
    directory.sign()
    ended, found, faults = threading.Event(), set[int](), list[Any]()

    def look() -> None:
        while not ended.is_set():
            try:
                found.add(len(read(directory).servers))
            except OCMError as error:
                faults.append(error)

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(20):
        directory.add(f"https://s{number}.example.org", f"Server {number}")
        directory.sign()
    ended.set()
    reader.join()
    assert faults == []
    assert len(read(directory).servers) == 21
    assert list(directory.folder.glob("*.new")) == []
