"""Backups: what is in them, what becomes of one that is interrupted, and that nothing comes back which is not as it was saved."""

import errno
import fcntl
import json
import os
import shutil
import sqlite3
import stat
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import pytest

from opencloudmesh.adapters.backup import BackupFault, Made, Parts, Places, make_backup, open_backup, restore_backup
from opencloudmesh.adapters.backup import making as making_module
from opencloudmesh.adapters.backup import user_files as user_files_module
from opencloudmesh.adapters.backup.manifest import Entry
from opencloudmesh.adapters.backup.user_files import UserFiles
from opencloudmesh.adapters.backup.writing import FolderTarget
from opencloudmesh.adapters.database import migrate

AT = "20270115T120000Z"
NAME = f"opencloudmesh-backup-{AT}"
USER = "insert into users (name, display_name, password_hash, disabled, created_at) values (?, '', '', 0, 1.0)"
Save = Callable[..., Made]


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Syncing a whole file system takes as long as others write to it."""
    if "real_disk" not in request.fixturenames:
        for module in ("writing", "restoring"):
            monkeypatch.setattr(f"opencloudmesh.adapters.backup.{module}.sync", lambda folder: None)


@pytest.fixture
def real_disk() -> None:
    """Asked for by the test that puts everything on the disk."""


# ---------------------------------------------------------------- a server's folder
@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("database") / "empty.sqlite3"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def home(tmp_path: Path, empty_database: Path) -> Path:
    folder = tmp_path / "server"
    (folder / "keys").mkdir(parents=True)
    (folder / "opencloudmesh.toml").write_text('origin = "https://a.example"\n')
    (folder / "campus.pem").write_text("an authority")
    for name in ("signing.pem", "secrets.key"):
        (folder / "keys" / name).write_text(f"the {name}")
    files = folder / "data" / "files" / "1"
    (files / "notes" / "empty").mkdir(parents=True)
    (files / ".ocm-staging").mkdir()
    (files / ".ocm-staging" / "half").write_text("half of it")
    (files / "a.txt").write_text("alpha")
    (files / "notes" / "big").write_bytes(os.urandom(3 << 19))
    (files / os.fsdecode(b"odd\xff\n name")).write_text("odd")
    (files / "link").symlink_to("/etc/passwd")
    os.mkfifo(files / "pipe")
    os.utime(files / "a.txt", ns=(10**18, 10**18 + 123))
    os.utime(files / "notes", ns=(10**18, 10**18 + 456))
    shutil.copy(empty_database, folder / "data/opencloudmesh.sqlite3")
    return folder


def url_of(folder: Path) -> str:
    return f"sqlite:///{folder}/data/opencloudmesh.sqlite3"


def parts_of(folder: Path) -> Parts:
    return Parts(
        folder=folder,
        config=folder / "opencloudmesh.toml",
        keys=folder / "keys",
        data=folder / "data",
        files=folder / "data" / "files",
        database_url=url_of(folder),
        near_config=("campus.pem",),
        program="opencloudmesh 9",
        origin="https://a.example",
    )


def places_in(folder: Path) -> Places:
    return Places(folder, folder / "keys", folder / "data" / "files", f"sqlite:///{folder}/data/opencloudmesh.sqlite3")


@pytest.fixture
def save(home: Path) -> Save:
    def saving(place: Path, *, with_keys: bool = True, with_files: bool = True) -> Made:
        parts = parts_of(home)
        return make_backup(parts, place, made_at=AT, with_keys=with_keys, with_files=with_files, say=lambda line: None)

    return saving


@pytest.fixture(params=["folder", "tar"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a backup is asked for, as a folder or as a tar file."""
    return tmp_path / ("backups" if request.param == "folder" else "backups/mine.tar")


def restore(made: Path, folder: Path) -> Any:
    with open_backup(made) as backup:
        return restore_backup(backup, places_in(folder))


def tree(folder: Path) -> dict[str, Any]:
    """What stands below a folder: contents, and times of change."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()) or ".ocm-staging" in path.parts:
            continue
        found[str(path.relative_to(folder))] = (path.read_bytes() if path.is_file() else None, path.stat().st_mtime_ns)
    return found


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.exists() else []


# ---------------------------------------------------------------- there and back
def test_what_was_saved_comes_back(real_disk: None, home: Path, tmp_path: Path, place: Path, save: Save) -> None:
    with closing(sqlite3.connect(home / "data/opencloudmesh.sqlite3", isolation_level=None)) as database:
        database.execute(USER, ("alice",))
    made = save(place)
    assert made.place == (place if place.suffix else place / NAME)
    assert (made.files, made.bytes, made.not_copied) == (3, 5 + (3 << 19) + 3, [])
    new = tmp_path / "new"
    restored = restore(made.place, new)
    assert (restored.files, restored.bytes, restored.with_keys, restored.with_files) == (3, made.bytes, True, True)
    assert tree(new / "data/files") == tree(home / "data/files")
    for name in ("opencloudmesh.toml", "campus.pem", "keys/signing.pem", "keys/secrets.key"):
        assert (new / name).read_bytes() == (home / name).read_bytes()
    with closing(sqlite3.connect(new / "data/opencloudmesh.sqlite3")) as database:
        assert database.execute("select name from users").fetchall() == [("alice",)]
    assert not (new / ".restoring").exists()


def test_nobody_else_may_read_a_backup_or_what_comes_back(tmp_path: Path, place: Path, save: Save) -> None:
    before = os.umask(0)
    try:
        made = save(place)
        restore(made.place, tmp_path / "new")
    finally:
        os.umask(before)
    for root in (place.parent if place.suffix else place, tmp_path / "new"):
        for path in (root, *root.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_tar_can_be_read_with_tar(tmp_path: Path, save: Save) -> None:
    made = save(tmp_path / "b.tar")
    with tarfile.open(made.place) as tar:
        names = tar.getnames()
    assert names[0] == "database.sqlite3"
    assert names[-1] == "manifest.jsonl"
    assert "files/1/a.txt" in names


def test_the_manifest_tells_of_every_file(place: Path, home: Path, save: Save) -> None:
    with open_backup(save(place).place) as backup:
        head, entries = backup.head, list(backup.entries())
        assert backup.verify() == sum(entry.size for entry in entries)
    assert (head.origin, head.made_at, head.database, head.with_keys) == ("https://a.example", AT, "database.sqlite3", True)
    alpha = "8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8"
    assert Entry("files/1/a.txt", 5, alpha, 10**18 + 123) in entries
    assert {entry.path for entry in entries if entry.is_folder} == {"files/1", "files/1/notes", "files/1/notes/empty"}


def test_without_keys_and_without_files(tmp_path: Path, place: Path, save: Save) -> None:
    made = save(place, with_keys=False, with_files=False)
    with open_backup(made.place) as backup:
        assert {entry.path for entry in backup.entries()} == {"database.sqlite3", "opencloudmesh.toml", "config/campus.pem"}
    restored = restore(made.place, tmp_path / "new")
    assert (restored.with_keys, restored.with_files, restored.files) == (False, False, 0)
    assert everything(tmp_path / "new/keys") == []


def test_the_copy_of_a_database_in_use_is_whole_and_stops_no_writer(home: Path, place: Path, tmp_path: Path, save: Save) -> None:
    with closing(sqlite3.connect(home / "data/opencloudmesh.sqlite3", isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute(USER, ("in",))
        writer.execute("BEGIN IMMEDIATE")
        writer.execute(USER, ("not yet",))
        made = save(place)
        writer.execute("COMMIT")
    restore(made.place, tmp_path / "new")
    with closing(sqlite3.connect(tmp_path / "new/data/opencloudmesh.sqlite3")) as database:
        assert database.execute("select name from users").fetchall() == [("in",)]


# ---------------------------------------------------------------- where a backup may stand
def test_a_backup_replaces_nothing(place: Path, save: Save) -> None:
    made = save(place).place
    before = made.stat()
    with pytest.raises(BackupFault) as caught:
        save(place)
    assert caught.value.code == "backup-exists"
    assert made.stat() == before
    assert [path.name for path in made.parent.iterdir()] == [made.name]


@pytest.mark.parametrize("where", ["data/x", "x.tar", "keys/x", "data/files/1/x.tar", "elsewhere/../data/x"])
def test_a_backup_stands_outside_of_the_server(home: Path, save: Save, where: str) -> None:
    before = everything(home)
    with pytest.raises(BackupFault) as caught:
        save(home / where)
    assert caught.value.code == "backup-inside"
    assert everything(home) == before


def test_a_link_into_the_server_is_inside_of_it(home: Path, tmp_path: Path, save: Save) -> None:
    (tmp_path / "link").symlink_to(home / "data")
    with pytest.raises(BackupFault) as caught:
        save(tmp_path / "link")
    assert caught.value.code == "backup-inside"


def test_a_server_that_never_ran_has_nothing_to_save(home: Path, place: Path, save: Save) -> None:
    (home / "data/opencloudmesh.sqlite3").unlink()
    with pytest.raises(BackupFault) as caught:
        save(place)
    assert caught.value.code == "database-missing"
    assert everything(place.parent if place.suffix else place) == []


def test_a_damaged_database_is_found_now_and_not_when_it_is_needed(home: Path, place: Path, save: Save) -> None:
    with (home / "data/opencloudmesh.sqlite3").open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096 * 4)
    with pytest.raises(BackupFault) as caught:
        save(place)
    assert caught.value.code in ("database-damaged", "database-unusable")
    assert everything(place.parent if place.suffix else place) == []


# ---------------------------------------------------------------- what goes wrong on the way
@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "backup-disk-full"), (errno.EDQUOT, "backup-disk-full"), (errno.EIO, "backup-failed")]
)
def test_a_full_disk_leaves_nothing(monkeypatch: pytest.MonkeyPatch, place: Path, save: Save, number: int, code: str) -> None:
    def full(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("opencloudmesh.adapters.backup.writing.sync", full)
    with pytest.raises(BackupFault) as caught:
        save(place)
    assert caught.value.code == code
    assert [each for each in everything(place.parent if place.suffix else place) if not each.endswith(".tar")] == []


def test_whoever_interrupts_leaves_nothing(monkeypatch: pytest.MonkeyPatch, place: Path, save: Save) -> None:
    def interrupted(_: UserFiles) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(UserFiles, "copy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(place)
    assert everything(place.parent if place.suffix else place) == []


def _killed(monkeypatch: pytest.MonkeyPatch, place: Path, save: Save) -> Path:
    """What kill -9 in the middle leaves: nothing of ours runs any more."""
    with monkeypatch.context() as patch:
        patch.setattr(UserFiles, "copy", lambda self: os.kill(os.getpid(), 9))
        child = os.fork()
        if child == 0:
            save(place)
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == 9
    (left,) = (place.parent if place.suffix else place).iterdir()
    return left


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_what_a_killed_backup_left_looks_like_none_and_goes_with_the_next(
    monkeypatch: pytest.MonkeyPatch, place: Path, save: Save
) -> None:
    left = _killed(monkeypatch, place, save)
    assert left.name.startswith(".")
    with pytest.raises(BackupFault) as caught, open_backup(left):
        pass
    assert caught.value.code == "not-a-backup"
    made = save(place).place
    assert [path.name for path in made.parent.iterdir()] == [made.name]


def test_a_backup_under_way_is_left_alone(place: Path, save: Save, tmp_path: Path) -> None:
    folder = place.parent if place.suffix else place
    folder.mkdir()
    other = folder / ".opencloudmesh-backup-20260101T000000Z.partial"
    same = folder / f".{place.name if place.suffix else NAME}.partial"
    for each in (other, same):
        each.mkdir()
    locks = [os.open(each, os.O_RDONLY) for each in (other, same)]
    for lock in locks:
        fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(BackupFault) as caught:
        save(place)
    assert caught.value.code == "backup-running"
    os.close(locks[1])
    save(place)
    assert other.is_dir()
    assert not same.exists()
    os.close(locks[0])


# ---------------------------------------------------------------- files that change meanwhile
class Changing(FolderTarget):
    """A target during whose work users go on: `meanwhile` is run with the path after each copy."""

    meanwhile: Callable[[str], None]

    def add(self, path: str, source: IO[bytes], size: int, mtime_ns: int) -> Entry:
        entry = super().add(path, source, size, mtime_ns)
        self.meanwhile(path)
        return entry


def copied(home: Path, tmp_path: Path, meanwhile: Callable[[str], None]) -> tuple[UserFiles, dict[str, Entry], Path]:
    target = Changing(tmp_path / "copy")
    target.meanwhile = meanwhile
    entries: dict[str, Entry] = {}
    files = UserFiles(home / "data/files", target, lambda entry: entries.update({entry.path: entry}))
    files.copy()
    return files, entries, target.finish()


def test_a_file_that_changes_is_copied_again(home: Path, tmp_path: Path) -> None:
    times = 0

    def meanwhile(path: str) -> None:
        nonlocal times
        if path == "files/1/a.txt" and times < 2:
            times += 1
            (home / "data" / path).write_text("alpha" * (times + 1))

    files, entries, made = copied(home, tmp_path, meanwhile)
    assert files.faults == []
    assert (made / "files/1/a.txt").read_text() == "alpha" * 3
    assert entries["files/1/a.txt"].size == 15


def test_a_file_that_never_rests_is_reported(home: Path, tmp_path: Path) -> None:
    def meanwhile(path: str) -> None:
        if path == "files/1/a.txt":
            with (home / "data" / path).open("a") as file:
                file.write("more")

    files, entries, made = copied(home, tmp_path, meanwhile)
    assert [(fault.path, fault.code) for fault in files.faults] == [("files/1/a.txt", "changed-while-read")]
    assert entries["files/1/a.txt"].size == (made / "files/1/a.txt").stat().st_size


def test_a_file_that_is_replaced_is_copied_as_it_was(home: Path, tmp_path: Path) -> None:
    def meanwhile(path: str) -> None:
        if path == "files/1/a.txt":
            (home / "new").write_text("replaced")
            (home / "new").rename(home / "data" / path)

    files, _, made = copied(home, tmp_path, meanwhile)
    assert files.faults == []
    assert (made / "files/1/a.txt").read_text() == "alpha"


def test_a_file_that_moves_to_where_the_copying_was_already_is_found(home: Path, tmp_path: Path) -> None:
    tree = home / "data/files/1"

    def meanwhile(path: str) -> None:
        if path == "files/1/a.txt":
            (tree / "notes").rename(tree / "AAA")

    files, entries, _ = copied(home, tmp_path, meanwhile)
    assert files.faults == []
    assert entries["files/1/AAA/big"].size == 3 << 19


def test_a_file_that_goes_is_not_missed(home: Path, tmp_path: Path) -> None:
    def meanwhile(path: str) -> None:
        if path == "files/1/a.txt":
            shutil.rmtree(home / "data/files/1/notes")

    files, entries, _ = copied(home, tmp_path, meanwhile)
    assert files.faults == []
    assert "files/1/notes/big" not in entries


@pytest.mark.parametrize("name", ["folder", "b.tar"])
def test_a_file_that_is_cut_while_it_is_copied(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Save, name: str
) -> None:
    """In a tar the length stands before the content: the rest is filled up, and the file is copied again."""
    real, opened = os.fstat, 0
    big = home / "data/files/1/notes/big"

    def fstat(descriptor: int) -> os.stat_result:
        nonlocal opened
        found = real(descriptor)
        if found.st_ino == big.stat().st_ino:
            opened += 1
            if opened == 1:
                os.truncate(big, 1 << 19)
        return found

    monkeypatch.setattr(user_files_module.os, "fstat", fstat)
    made = save(tmp_path / name)
    monkeypatch.undo()
    assert made.not_copied == []
    restore(made.place, tmp_path / "new")
    assert (tmp_path / "new/data/files/1/notes/big").stat().st_size == 1 << 19


def test_a_file_that_cannot_be_read_is_reported_and_the_rest_is_saved(
    home: Path, place: Path, monkeypatch: pytest.MonkeyPatch, save: Save
) -> None:
    real = os.open

    def refusing(path: Any, *arguments: Any, **named: Any) -> int:
        if os.fsencode(path).endswith(b"/1/a.txt") and os.fsencode(home) in os.fsencode(path):
            raise PermissionError(errno.EACCES, "x")
        return real(path, *arguments, **named)

    monkeypatch.setattr(user_files_module.os, "open", refusing)
    made = save(place)
    assert [(fault.path, fault.code) for fault in made.not_copied] == [("files/1/a.txt", "not-copied")]
    assert made.files == 2


# ---------------------------------------------------------------- what does not come back
def test_only_an_empty_place_is_restored_to(home: Path, place: Path, tmp_path: Path, save: Save) -> None:
    made = save(place).place
    new = tmp_path / "new"
    (new / "sub").mkdir(parents=True)
    with pytest.raises(BackupFault) as caught:
        restore(made, new)
    assert caught.value.code == "restore-not-empty"
    assert everything(new) == ["sub"]
    with open_backup(made) as backup, pytest.raises(BackupFault) as caught:
        restore_backup(backup, Places(tmp_path / "x", tmp_path / "x/keys", home / "data/files", url_of(tmp_path / "x")))
    assert caught.value.code == "restore-not-empty"


def test_a_database_that_is_there_is_not_replaced(home: Path, place: Path, tmp_path: Path, save: Save) -> None:
    made = save(place).place
    new = tmp_path / "new"
    with open_backup(made) as backup, pytest.raises(BackupFault) as caught:
        restore_backup(backup, Places(new, new / "keys", new / "data/files", url_of(home)))
    assert caught.value.code == "restore-not-empty"
    assert not new.exists()


def test_an_empty_folder_may_be_there(place: Path, tmp_path: Path, save: Save) -> None:
    (tmp_path / "new").mkdir()
    assert restore(save(place).place, tmp_path / "new").files == 3


@pytest.mark.parametrize("victim", ["files/1/a.txt", "database.sqlite3", "keys/secrets.key", "opencloudmesh.toml"])
@pytest.mark.parametrize("change", ["bit", "longer", "shorter", "missing"])
def test_a_damaged_folder_is_refused_before_anything_is_written(tmp_path: Path, save: Save, victim: str, change: str) -> None:
    made = save(tmp_path / "backups").place
    file = made / victim
    content = file.read_bytes()
    changed = {"bit": bytes([content[0] ^ 1]) + content[1:], "longer": content + b"x", "shorter": content[:-1], "missing": b""}
    file.unlink() if change == "missing" else file.write_bytes(changed[change])
    with pytest.raises(BackupFault) as caught:
        restore(made, tmp_path / "new")
    assert caught.value.code == "backup-damaged"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("at", [700, 0.5, 0.999])
def test_a_tar_that_is_cut_off_is_refused(tmp_path: Path, save: Save, at: float) -> None:
    made = save(tmp_path / "b.tar").place
    os.truncate(made, at if at > 1 else int(made.stat().st_size * at) // 512 * 512 - 10240)  # type: ignore[arg-type]
    with pytest.raises(BackupFault) as caught:
        restore(made, tmp_path / "new")
    assert caught.value.code in ("backup-damaged", "not-a-backup")
    assert not (tmp_path / "new").exists()


def test_a_tar_with_a_changed_byte_is_refused(tmp_path: Path, save: Save) -> None:
    made = save(tmp_path / "b.tar").place
    with made.open("r+b") as file:
        file.seek(4096)
        file.write(b"XX")
    with pytest.raises(BackupFault) as caught:
        restore(made, tmp_path / "new")
    assert caught.value.code == "backup-damaged"


def _rewritten(made: Path, change: Callable[[list[Any]], None]) -> None:
    lines = [json.loads(line) for line in (made / "manifest.jsonl").read_text().splitlines()]
    change(lines)
    (made / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda lines: lines[0].update(format=2), "backup-newer"),
        (lambda lines: lines[0].update(schema="9999"), "database-newer"),
        (lambda lines: lines[0].update(schema="none"), "database-newer"),
        (lambda lines: lines[0].update(schema=1), "backup-damaged"),
        (lambda lines: lines[0].update(more=1), "backup-damaged"),
        (lambda lines: lines[0].update(format="1"), "backup-damaged"),
        (lambda lines: lines.pop(), "backup-damaged"),
        (lambda lines: lines.pop(3), "backup-damaged"),
        (lambda lines: lines.append(lines[1]), "backup-damaged"),
        (lambda lines: lines[2].update(path="../x"), "backup-damaged"),
        (lambda lines: lines[2].update(path="/etc/x"), "backup-damaged"),
        (lambda lines: lines[2].update(path="files//x"), "backup-damaged"),
        (lambda lines: lines[2].update(path=""), "backup-damaged"),
        (lambda lines: lines[2].update(path=7), "backup-damaged"),
        (lambda lines: lines[2].update(size=-1), "backup-damaged"),
        (lambda lines: lines[2].update(size="1"), "backup-damaged"),
        (lambda lines: lines[2].update(odd=1), "backup-damaged"),
        (lambda lines: lines.__setitem__(2, []), "backup-damaged"),
        (lambda lines: lines.clear(), "backup-damaged"),
    ],
)
def test_a_manifest_that_does_not_hold(tmp_path: Path, save: Save, change: Callable[[list[Any]], None], code: str) -> None:
    made = save(tmp_path / "backups").place
    _rewritten(made, change)
    with pytest.raises(BackupFault) as caught:
        restore(made, tmp_path / "new")
    assert caught.value.code == code
    assert not (tmp_path / "new").exists()


def test_a_manifest_that_is_no_json(tmp_path: Path, save: Save) -> None:
    made = save(tmp_path / "backups").place
    (made / "manifest.jsonl").write_text("hello")
    with pytest.raises(BackupFault) as caught:
        restore(made, tmp_path / "new")
    assert caught.value.code == "backup-damaged"


def test_a_link_in_a_backup_is_not_followed(tmp_path: Path, save: Save) -> None:
    made = save(tmp_path / "backups").place
    (made / "keys/secrets.key").rename(tmp_path / "elsewhere")
    (made / "keys/secrets.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BackupFault) as caught:
        restore(made, tmp_path / "new")
    assert caught.value.code == "backup-damaged"


@pytest.mark.parametrize("what", ["folder", "file", "nothing", "text.tar"])
def test_what_is_no_backup(tmp_path: Path, what: str) -> None:
    place = tmp_path / what
    if what == "folder":
        place.mkdir()
    elif what != "nothing":
        place.write_text("some text")
    with pytest.raises(BackupFault) as caught:
        restore(place, tmp_path / "new")
    assert caught.value.code in ("not-a-backup", "backup-damaged")


def test_a_kind_of_database_that_is_not_that_of_the_configuration(place: Path, tmp_path: Path, save: Save) -> None:
    new = tmp_path / "new"
    with open_backup(save(place).place) as backup, pytest.raises(BackupFault) as caught:
        restore_backup(backup, Places(new, new / "keys", new / "data/files", "postgresql://ocm@127.0.0.1:1/ocm"))
    assert caught.value.code == "restore-other-database"


def test_a_restore_that_breaks_off_leaves_nothing(
    place: Path, tmp_path: Path, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = save(place).place

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("opencloudmesh.adapters.backup.restoring.sync", full)
    with pytest.raises(BackupFault) as caught:
        restore(made, tmp_path / "new")
    assert caught.value.code == "backup-disk-full"
    assert everything(tmp_path / "new") == ["data", "data/files", "keys"] or everything(tmp_path / "new") == []


def test_the_configuration_comes_last(place: Path, tmp_path: Path, save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    """What kill -9 leaves of a restore is no server: it has no configuration."""
    made, new, seen = save(place).place, tmp_path / "new", []
    real = making_module.databases.restore

    def watched(*arguments: Any) -> None:
        seen.append(((new / "opencloudmesh.toml").exists(), (new / "data/files/1/a.txt").exists()))
        real(*arguments)

    monkeypatch.setattr(making_module.databases, "restore", watched)
    restore(made, new)
    assert seen == [(False, True)]
