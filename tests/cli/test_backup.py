"""`ocm backup` and `ocm restore` as an operator types them."""

import json
from pathlib import Path
from typing import Any

import pytest

ORIGIN = "https://cloud.example.org"


@pytest.fixture
def server(ocm: Any, tmp_path: Path) -> Path:
    """The folder of a server that has an account and a file."""
    folder = tmp_path / "cloud"
    password = tmp_path / "password"
    password.write_text("correct horse battery")
    assert ocm("init", folder, "--origin", ORIGIN).status == 0
    assert ocm("user", "add", "alice", "--dir", folder, "--password-file", password).status == 0
    (folder / "data/files/1").mkdir(parents=True)
    (folder / "data/files/1/a.txt").write_text("alpha")
    with (folder / "opencloudmesh.toml").open("a") as file:
        file.write('\n[[routes]]\nname = "x"\nhosts = ["b.example"]\nca_file = "campus.pem"\n')
    (folder / "campus.pem").write_text("an authority")
    return folder


def test_there_and_back(ocm: Any, server: Path, tmp_path: Path) -> None:
    done = ocm("backup", server, tmp_path / "backups")
    assert done.status == 0, done
    assert "1 file (5 B), the configuration and the keys" in done.out
    assert "open every share" in done.out
    (made,) = (tmp_path / "backups").iterdir()
    done = ocm("restore", made, tmp_path / "new")
    assert done.status == 0, done
    assert f"Restored {ORIGIN}" in done.out
    assert "ocm serve" in done.out
    assert (tmp_path / "new/data/files/1/a.txt").read_text() == "alpha"
    assert (tmp_path / "new/campus.pem").read_text() == "an authority"
    listed = ocm("user", "list", "--dir", tmp_path / "new", "--json")
    assert [user["name"] for user in json.loads(listed.out)["items"]] == ["alice"]


def test_without_keys_and_files_it_says_what_is_missing(ocm: Any, server: Path, tmp_path: Path) -> None:
    done = ocm("backup", server, tmp_path / "b.tar", "--without-keys", "--without-files")
    assert "without the users' files and the configuration, without the keys" in done.out
    assert "worth nothing without secrets.key" in done.out
    done = ocm("restore", tmp_path / "b.tar", tmp_path / "new")
    assert "Put the signing keys and secrets.key" in done.out
    assert "Put the users' files into" in done.out


def test_one_document_for_programs(ocm: Any, server: Path, tmp_path: Path) -> None:
    made = json.loads(ocm("backup", server, tmp_path / "b.tar", "--json").out)
    assert made["place"] == str(tmp_path / "b.tar")
    assert (made["files"], made["bytes"], made["with_keys"], made["with_files"]) == (1, 5, True, True)
    restored = json.loads(ocm("restore", tmp_path / "b.tar", tmp_path / "new", "--json").out)
    assert (restored["origin"], restored["files"]) == (ORIGIN, 1)


def test_a_folder_that_is_made_is_named(ocm: Any, server: Path, tmp_path: Path) -> None:
    said = f"Making the folder {tmp_path / 'backups'}."
    assert said in ocm("backup", server, tmp_path / "backups").err
    assert said not in ocm("backup", server, tmp_path / "backups").err


def test_another_place_by_the_environment(ocm: Any, server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration with absolute paths would lead to where the old server is."""
    config = server / "opencloudmesh.toml"
    config.write_text(config.read_text().replace('# data_dir = "data"', f'data_dir = "{server}/data"'))
    assert ocm("backup", server, tmp_path / "b.tar").status == 0
    done = ocm("restore", tmp_path / "b.tar", tmp_path / "new")
    assert (done.status, "restore-not-empty" in done.err) == (1, True)
    monkeypatch.setenv("OCM_DATA_DIR", str(tmp_path / "elsewhere"))
    assert ocm("restore", tmp_path / "b.tar", tmp_path / "new").status == 0
    assert (tmp_path / "elsewhere/files/1/a.txt").read_text() == "alpha"
    assert (tmp_path / "elsewhere/opencloudmesh.sqlite3").exists()


def test_files_that_are_not_whole_make_it_fail_and_are_named(
    ocm: Any, server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opencloudmesh.adapters.backup.user_files import NotCopied, UserFiles

    monkeypatch.setattr(UserFiles, "copy", lambda self: self.faults.append(NotCopied("files/1/a.txt", "not-copied", "No.")))
    done = ocm("backup", server, tmp_path / "b.tar")
    assert done.status == 5
    assert "files/1/a.txt: No. (not-copied)" in done.err
    assert (tmp_path / "b.tar").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("backup", "nowhere", "x"), "config-invalid"),
        (("backup", "cloud", "cloud/data"), "backup-inside"),
        (("backup", "cloud", "mistyped/place"), "backup-no-folder"),
        (("backup", "cloud", "mistyped/place/b.tar"), "backup-no-folder"),
        (("restore", "nowhere", "new"), "not-a-backup"),
    ],
)
def test_what_cannot_be_done_is_said(
    ocm: Any, server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = ocm(*arguments)
    assert (done.status, code in done.err) == (1, True), done
    assert "What to do: " in done.err
