"""`ocm init|serve|user`, on a real server's folder; and a real server as the user meets it."""

import asyncio
import base64
import os
import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opencloudmesh import bootstrap
from tests.services.queue import new_share


@pytest.fixture
def folder(ocm: Any, free_port: int) -> Path:
    """A prepared folder, in the working folder."""
    result = ocm("init", "cloud", "--origin", f"http://127.0.0.1:{free_port}", "--listen", f"127.0.0.1:{free_port}")
    assert (result.status, result.err) == (0, "")
    return Path("cloud").resolve()


def test_init_writes_a_configuration_and_keys_and_overwrites_nothing(ocm: Any, folder: Path, free_port: int) -> None:
    key = folder / "keys" / "signing.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()}
    assert len(before) == 4
    other = ocm("init", "cloud", "--origin", "https://other.example.org", "--json")
    assert (other.status, other.document["error"]["code"]) == (1, "origin-differs")
    origin = ocm("init", "cloud", "--origin", f"http://127.0.0.1:{free_port}", "--json")
    assert (origin.status, len(origin.document["done"])) == (0, 4)
    assert {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()} == before


@pytest.mark.parametrize("configured", [True, False])
def test_init_makes_no_new_secrets_beside_a_database(
    ocm: Any, folder: Path, password_file: Path, free_port: int, configured: bool
) -> None:
    assert ocm("user", "add", "alice", "--password-file", password_file, "--dir", folder).status == 0
    key = folder / "keys" / "secrets.key"
    key.unlink()
    if not configured:
        (folder / "opencloudmesh.toml").unlink()
    again = ("init", folder, "--origin", f"http://127.0.0.1:{free_port}")
    refused = ocm(*again, "--json")
    assert (refused.status, refused.document["error"]["code"], key.exists()) == (1, "key-missing", False)
    assert "--new-secrets" in refused.document["error"]["hint"]
    assert ocm(*again, "--new-secrets").status == 0
    assert key.exists()


def test_init_refuses_a_public_origin_without_tls(ocm: Any) -> None:
    result = ocm("init", "cloud", "--origin", "http://cloud.example.org", "--json")
    assert (result.status, result.document["error"]["code"]) == (1, "origin-invalid")
    assert not Path("cloud").exists()


def test_accounts(ocm: Any, folder: Path, password_file: Path) -> None:
    secret = ("--password-file", password_file, "--dir", folder)
    assert ocm("user", "list", "--dir", folder).out == "There are no users.\n"
    assert ocm("user", "add", "alice", *secret, "--display-name", "Alice A.").out == "Added the user alice.\n"
    result = ocm("user", "add", "alice", *secret, "--json")
    assert (result.status, result.document["error"]["code"]) == (1, "user-exists")
    assert "Alice A." in ocm("user", "list", "--dir", folder).out

    def is_disabled() -> bool:
        (item,) = ocm("user", "list", "--dir", folder, "--json").document["items"]
        return bool(item["disabled"])

    assert not is_disabled()
    assert ocm("user", "disable", "alice", "--dir", folder).status == 0
    assert is_disabled()
    assert ocm("user", "enable", "alice", "--dir", folder).status == 0
    assert not is_disabled()
    (item,) = ocm("user", "list", "--dir", folder, "--json").document["items"]
    assert item["admin"] is False
    assert ocm("user", "admin", "alice", "--dir", folder).out == "alice is an administrator now.\n"
    assert "yes" in ocm("user", "list", "--dir", folder).out
    revoked = ocm("user", "admin", "alice", "--revoke", "--dir", folder, "--json")
    assert revoked.document == {"name": "alice", "admin": False}
    assert ocm("user", "add", "root", *secret, "--admin", "--json").document["admin"] is True
    assert [i["admin"] for i in ocm("user", "list", "--dir", folder, "--json").document["items"]] == [False, True]
    assert ocm("user", "password", "alice", *secret, "--json").document == {"name": "alice"}


def test_quotas_and_homes(ocm: Any, folder: Path, password_file: Path, tmp_path: Path) -> None:
    secret = ("--password-file", password_file, "--dir", folder)
    lab = tmp_path / "lab"
    lab.mkdir()
    added = ocm("user", "add", "alice", *secret, "--quota", "1.5GB", "--home", lab, "--json").document
    assert (added["quota"], added["home"]) == (1_500_000_000, str(lab))
    for size, quota in (("20 MiB", 20 << 20), ("none", 0), ("default", None), ("7", 7)):
        assert ocm("user", "quota", "alice", size, "--dir", folder, "--json").document == {"name": "alice", "quota": quota}
        (item,) = ocm("user", "list", "--dir", folder, "--json").document["items"]
        assert item["quota"] == quota
    for size in ("0", "-1", "1XB", "lots", "9999999TB"):
        result = ocm("user", "quota", "alice", "--dir", folder, "--json", "--", size)
        assert (result.status, result.document["error"]["code"]) == (2, "size-invalid")
    result = ocm("user", "add", "bob", *secret, "--home", folder / "data", "--json")
    assert (result.status, result.document["error"]["code"]) == (1, "home-invalid")
    left = folder / "data" / "files" / "2"
    left.mkdir(parents=True)
    (left / "diary.txt").touch()
    result = ocm("user", "add", "bob", *secret, "--json")
    assert (result.status, result.document["error"]["code"]) == (1, "files-left")
    (left / "diary.txt").unlink()
    assert ocm("user", "add", "bob", *secret, "--json").document["home"] == ""


def test_an_account_that_is_not_there(ocm: Any, folder: Path, password_file: Path) -> None:
    for command in (
        ["disable", "bob"],
        ["enable", "bob"],
        ["admin", "bob"],
        ["quota", "bob", "1GB"],
        ["password", "bob", "--password-file", password_file],
    ):
        result = ocm("user", *command, "--dir", folder, "--json")
        assert (result.status, result.document["error"]["code"]) == (1, "user-unknown")


def test_a_folder_that_is_no_server_says_so(ocm: Any) -> None:
    for command in (["user", "list"], ["serve"]):
        result = ocm(*command, "--json")
        assert (result.status, result.document["error"]["code"]) == (1, "config-invalid")


def test_a_password_is_never_an_argument(ocm: Any, folder: Path) -> None:
    assert ocm("user", "add", "alice", "--password", "secret", "--dir", folder).status == 2
    assert ocm("user", "add", "alice", "secret", "--dir", folder).status == 2


# ---------------------------------------------------------------- the real server
@pytest.fixture
def serving(ocm: Any, folder: Path, free_port: int, password_file: Path, tmp_path: Path) -> Iterator[tuple[str, Any]]:
    """A real server with the user alice, as (address, process)."""
    assert ocm("user", "add", "alice", "--password-file", password_file, "--dir", folder).status == 0
    environment = {
        **os.environ,
        "OCM_DELIVERY_WAIT_FOR_FIRST_TRY": "60",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src"),
    }
    with (tmp_path / "log").open("wb") as log:
        command = [sys.executable, "-m", "opencloudmesh.cli", "serve", str(folder)]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{free_port}"
    for _ in range(1000):
        # The first answer of any kind tells that it serves; a refused connection takes its time too.
        if process.poll() is not None or ocm("login", url, "alice", "--password-file", password_file).status == 0:
            break
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
    yield url, process
    process.kill()
    process.wait()


def test_a_person_uses_a_real_server(ocm: Any, serving: tuple[str, Any], folder: Path) -> None:
    assert ocm("whoami").status == 0
    Path("tree/sub").mkdir(parents=True)
    Path("tree/sub/a.txt").write_text("alpha")
    Path("tree/big").write_bytes(os.urandom(2 << 20))
    assert ocm("put", "tree").status == 0
    assert ocm("put", "tree", "--json").document["unchanged"] == 2
    assert ocm("get", "tree", "back").status == 0
    assert Path("back/tree/big").read_bytes() == Path("tree/big").read_bytes()
    assert ocm("mkdir", "-p", "tree/new/deep").status == 0
    assert ocm("rm", "tree/big").status == 0
    assert [item["name"] for item in ocm("ls", "tree", "--json").document["items"]] == ["new", "sub"]
    shared = ocm("share", "tree", "bob@127.0.0.1:9", "--expires", "1d", "--json")
    assert (shared.status, shared.document["error"]["code"]) == (1, "address-refused")
    failed = ocm("deliveries", "--failed", "--json").document["items"][0]
    assert (failed["peer"], failed["state"]) == ("127.0.0.1:9", "dead")
    assert ocm("deliveries", "show", failed["id"]).status == 0
    assert ocm("deliveries", "cancel", failed["id"]).status == 1
    assert ocm("unshare", "tree", "--json").document["state"] == "revoked"
    assert ocm("inbox", "--json").document == {"items": [], "unknown": 0}
    assert ocm("user", "disable", "alice", "--dir", folder).status == 0
    assert ocm("whoami").status == 3
    assert ocm("ls").status == 3


def test_app_passwords_of_a_real_server(ocm: Any, serving: tuple[str, Any]) -> None:
    assert "make one" in ocm("password", "app", "list").out
    made = ocm("password", "app", "create", "--name", "davfs2", "--json").document
    assert (made["url"], made["user"]) == (f"{serving[0]}/dav/files/alice/", "alice")
    assert opens(made["url"], made["password"]) == 200
    listed = ocm("password", "app", "list").out
    assert "davfs2" in listed
    assert "never" not in listed
    assert made["password"] not in listed
    assert ocm("password", "app", "revoke", made["id"]).status == 0
    assert opens(made["url"], made["password"]) == 401
    assert ocm("password", "app", "revoke", made["id"], "--json").document["error"]["code"] == "app-password-unknown"
    first = ocm("password", "app", "create").out.splitlines()[0]
    assert opens(made["url"], first) == 200


def opens(url: str, password: str) -> int:
    """The status of an OPTIONS with this password."""
    credentials = base64.b64encode(f"alice:{password}".encode()).decode()
    request = urllib.request.Request(url, method="OPTIONS", headers={"authorization": f"Basic {credentials}"})
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def test_a_terminated_server_ends_well(ocm: Any, serving: tuple[str, Any]) -> None:
    _, process = serving
    process.send_signal(signal.SIGTERM)
    assert process.wait(90) == 0
    assert ocm("whoami").status == 4


# ---------------------------------------------------------------- everybody's shares
def test_the_operator_offers_the_shares_of_all_users_again(ocm: Any, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("a password of everybody")
    assert ocm("init", "cloud", "--origin", "https://cloud.example.org").status == 0
    for name in ("alice", "bob"):
        assert ocm("user", "add", name, "--dir", "cloud", "--password-file", tmp_path / "password").status == 0

    async def give() -> None:
        async with bootstrap.beside(Path("cloud")) as wiring:
            for user in await wiring.accounts.users():
                made = await wiring.database.write(lambda tx, user=user: tx.outgoing_shares.add(new_share(user)))  # type: ignore[misc]
                await wiring.database.write(
                    lambda tx, made=made: tx.outgoing_shares.set_state(made.id, "accepted", "", 1e9)  # type: ignore[misc]
                )

    asyncio.run(give())

    def repair(*words: str) -> list[tuple[str, str, str, bool]]:
        items = ocm("shares", "repair", "--all", "--dir", "cloud", "--json", *words).document["items"]
        return [(item["user"], item["state"], item["act"], item["done"]) for item in items]

    assert repair() == [("alice", "accepted", "", False), ("bob", "accepted", "", False)]
    assert "ocm shares repair --resend --all --dir cloud" in ocm("shares", "repair", "--all", "--dir", "cloud").err
    dry = repair("--resend", "--dry-run", "--peer", "Away.example")
    assert dry == [("alice", "accepted", "announce", False), ("bob", "accepted", "announce", False)]
    assert repair("--resend", "--peer", "other.example") == []
    shown = ocm("shares", "repair", "--all", "--dir", "cloud", "--resend")
    assert "offered again: it counts as sent until it is answered" in shown.out
    assert "within half a minute" in shown.err
    assert repair("--resend") == [("alice", "sent", "", False), ("bob", "sent", "", False)], "it waits to be sent"
    assert ocm("shares", "repair", "--dir", "cloud").status == 2
    assert ocm("shares", "repair", "--all", "--days", "3", "--dir", "cloud").status == 2, "that goes with --resend"
    assert ocm("shares", "repair", "--all", "--resend", "--days", "3", "--dir", "cloud").status == 0


# ---------------------------------------------------------------- everybody's messages
def test_the_operator_sees_and_tries_the_messages_of_all_users(ocm: Any, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("a password of everybody")
    assert ocm("init", "cloud", "--origin", "https://cloud.example.org").status == 0
    for name in ("alice", "bob"):
        assert ocm("user", "add", name, "--dir", "cloud", "--password-file", tmp_path / "password").status == 0

    async def give_up() -> None:
        async with bootstrap.beside(Path("cloud")) as wiring:
            for user in await wiring.accounts.users():

                def work(tx: Any, user: Any = user) -> None:
                    share = tx.outgoing_shares.add(new_share(user))
                    queued = wiring.deliveries.queue(
                        tx, peer=share.peer, kind="SHARE_CREATION", user_id=user.id, outgoing=share.id
                    )
                    tx.deliveries.bury(queued.id, reason="time-to-live", detail="At last: tls", http_status=0, at=1e9)
                    tx.outgoing_shares.set_state(share.id, "failed", "time-to-live", 1e9)

                await wiring.database.write(work)

    asyncio.run(give_up())

    def deliveries(*words: str) -> Any:
        return ocm("deliveries", *words, "--all", "--dir", "cloud", "--json").document

    def states(*words: str) -> list[tuple[str, str]]:
        return [(item["user"], item["state"]) for item in deliveries(*words)["items"]]

    assert states("--failed", "--peer", "Away.example") == [("alice", "dead"), ("bob", "dead")]
    assert states("--peer", "other.example") == []
    shown = ocm("deliveries", "show", "1", "--all", "--dir", "cloud").out
    assert "SHARE_CREATION to away.example for alice: dead" in shown
    retried = ocm("deliveries", "retry", "1", "--all", "--dir", "cloud")
    assert "for alice is tried now; see: ocm deliveries --all --dir cloud" in retried.out
    assert "within half a minute" in retried.err
    assert states() == [("alice", "queued"), ("bob", "dead")]
    assert deliveries("retry", "--peer", "away.example") == {"peer": "away.example", "messages": 2}
    assert deliveries("cancel", "2")["reason"] == "cancelled"
    assert [deliveries("show", which)["error"]["code"] for which in ("77", "x")] == ["delivery-unknown"] * 2
    acts = ocm("peer", "audit", "--dir", "cloud", "--json").document["items"]
    assert [(act["action"], act["before"]) for act in acts] == [
        ("messages-cancelled", "delivery 2 of bob: queued time-to-live"),
        ("messages-retried", "delivery 2 of bob: dead time-to-live"),
        ("messages-retried", "delivery 1 of alice: queued time-to-live"),
        ("messages-retried", "delivery 1 of alice: dead time-to-live"),
    ]
    assert all(act["actor"].startswith("operator ") and act["subject"] == "away.example" for act in acts)
    assert ocm("deliveries", "--dir", "cloud").status == 2
