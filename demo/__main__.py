"""Two servers on this machine share a folder: every step printed with the exchange behind it.

`make demo` runs it; `make demo KEEP=1` leaves both servers running and says what to try next. Everything goes through the product
as a user has it: `ocm init`, `ocm serve`, and the `ocm` commands of two people. Exit status 0 only if every step held.
"""

import hashlib
import os
import shutil
import signal
import sys
from pathlib import Path

from demo.people import Person
from demo.servers import Exchange, PortTaken, ServerProcess
from demo.straight import read_only_put


def _port(name: str, usual: int) -> int:
    text = os.environ.get(name, "") or str(usual)
    return int(text) if text.isascii() and text.isdigit() else 0


FOLDER = Path(os.environ.get("DEMO_DATA", "demo-data")).resolve()
PORT_A = _port("DEMO_PORT_A", 9101)
PORT_B = _port("DEMO_PORT_B", 9102)
PASSWORD = "correct horse battery"


class StepFailed(Exception):
    """What a step promised did not hold."""


def step(title: str) -> None:
    print(f"\n\033[1m== {title}\033[0m" if sys.stdout.isatty() else f"\n== {title}", flush=True)


def hold(condition: object, promise: str) -> None:
    """Print what was shown, or stop the demo."""
    if not condition:
        raise StepFailed(promise)
    print(f"   ok: {promise}", flush=True)


def show(exchanges: list[Exchange]) -> None:
    for exchange in exchanges:
        print(f"   {exchange.line()}", flush=True)


def sample_tree(folder: Path) -> None:
    """A few nested files to share."""
    (folder / "plots" / "2026").mkdir(parents=True)
    (folder / "readme.txt").write_text("Measurements of the autumn run.\n")
    (folder / "plots" / "spectrum.csv").write_text("".join(f"{i},{i * i}\n" for i in range(1000)))
    (folder / "plots" / "2026" / "raw.bin").write_bytes(hashlib.sha256(b"raw").digest() * 4096)


class Demo:
    """The two servers, the two people, and the story."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.a = ServerProcess("A", folder / "a", PORT_A, other_port=PORT_B)
        self.b = ServerProcess("B", folder / "b", PORT_B, other_port=PORT_A)
        self.alice = Person("alice", folder / "alice", self.a)
        self.bob = Person("bob", folder / "bob", self.b)

    def exchanges(self) -> list[Exchange]:
        return sorted(self.a.new_exchanges() + self.b.new_exchanges(), key=lambda e: e.at)

    def set_up(self) -> None:
        step("Two servers, two people")
        for server in (self.a, self.b):
            server.init()
            server.start()
            hold(server.is_up(), f"server {server.name} answers at {server.origin}")
        for person in (self.alice, self.bob):
            person.server.add_user(person.name, PASSWORD)
            person.login(PASSWORD)
            hold(person.json("whoami")["address"] == person.address, f"{person.address} is logged in")

    def share(self) -> tuple[dict, dict]:
        step(f"alice shares a folder (read and write) and a file (read only) with {self.bob.address}")
        tree = self.folder / "work" / "experiment"
        sample_tree(tree)
        (self.folder / "work" / "notes.txt").write_text("Read me, do not write me.\n")
        self.alice.run("put", str(tree))
        self.alice.run("put", str(self.folder / "work" / "notes.txt"))
        folder = self.alice.json("share", "experiment", self.bob.address, "--write")
        file = self.alice.json("share", "notes.txt", self.bob.address)
        show(self.exchanges())
        hold(folder["state"] == "sent" and file["state"] == "sent", "B admitted both signed Share Creation Notifications (201)")
        return folder, file

    def answer(self, folder: dict, file: dict) -> None:
        step("bob finds both in his inbox, accepts the folder and declines the file")
        inbox = {item["name"]: item for item in self.bob.items("inbox")}
        hold({"experiment", "notes.txt"} <= set(inbox), "both are in the inbox, waiting")
        self.bob.run("accept", str(inbox["experiment"]["id"]))
        self.bob.run("decline", str(inbox["notes.txt"]["id"]))
        hold(self.alice.wait_for_share(folder["id"], "accepted"), "A learned that the folder is accepted")
        hold(self.alice.wait_for_share(file["id"], "declined"), "A learned that the file is declined")
        show(self.exchanges())

    def work_together(self) -> None:
        step("bob lists the folder, reads a file, writes one back (WebDAV, token from the Code Flow)")
        names = sorted(entry["name"] for entry in self.bob.items("ls", "Shared with me/experiment"))
        hold(names == ["plots", "readme.txt"], f"bob sees {names}")
        got = self.folder / "bob" / "raw.bin"
        self.bob.run("get", "Shared with me/experiment/plots/2026/raw.bin", str(got))
        original = (self.folder / "work" / "experiment" / "plots" / "2026" / "raw.bin").read_bytes()
        hold(got.read_bytes() == original, f"raw.bin arrived byte for byte ({len(original)} bytes)")
        answer = self.folder / "bob" / "answer.txt"
        answer.write_text("Looks good to me.\n")
        self.bob.run("put", str(answer), "Shared with me/experiment/answer.txt")
        show(self.exchanges())
        back = self.folder / "alice" / "answer.txt"
        self.alice.run("get", "experiment/answer.txt", str(back))
        hold(back.read_text() == answer.read_text(), "alice sees bob's file on A")

    def read_only(self) -> None:
        step("writing into a read-only share is refused")
        again = self.alice.json("share", "notes.txt", self.bob.address)
        waiting = [item for item in self.bob.items("inbox") if item["name"] == "notes.txt" and item["state"] == "pending"]
        self.bob.run("accept", str(waiting[0]["id"]))
        hold(self.alice.wait_for_share(again["id"], "accepted"), "bob accepted the read-only file this time")
        path = next(item["path"] for item in self.bob.items("inbox") if item["id"] == waiting[0]["id"])
        sizes = {entry["name"]: entry["size"] for entry in self.bob.items("ls", "Shared with me")}
        size = (self.folder / "work" / "notes.txt").stat().st_size
        hold(sizes["notes.txt"] == size, f"his list shows its size ({size} bytes) without asking A")
        there = self.folder / "bob" / "notes.txt"
        self.bob.run("get", path, str(there))
        hold(there.read_text().startswith("Read me"), "bob reads it")
        there.write_text("Overwritten!\n")
        refused = self.bob.fails("put", str(there), path)
        hold(refused == "read-only", f"B refuses bob's write at once (reason {refused})")
        status = read_only_put(self.b, self.a, again["provider_id"])
        hold(status == 403, f"A refuses it too, asked directly with a valid token (HTTP {status})")
        show(self.exchanges())

    def unshare(self, folder: dict) -> None:
        step("alice takes the folder back")
        self.alice.run("unshare", str(folder["id"]))
        hold(self.bob.wait_until_gone(folder["provider_id"]), "the share left bob's list")
        refused = self.bob.fails("get", "Shared with me/experiment/readme.txt", str(self.folder / "bob" / "gone.txt"))
        hold(refused is not None, f"bob's next read is refused (reason {refused})")
        show(self.exchanges())

    def while_a_is_down(self) -> None:
        step("A is stopped, bob declines a share meanwhile, A comes back and learns it")
        share = self.alice.json("share", "notes.txt", self.bob.address)
        waiting = [item for item in self.bob.items("inbox") if item["provider_id"] == share["provider_id"]]
        self.a.stop()
        hold(not self.a.is_up(), "A is down")
        declined = self.bob.json("decline", str(waiting[0]["id"]))
        hold(declined["state"] == "declined", "bob declined without waiting for A")
        self.a.start()
        hold(self.alice.wait_for_share(share["id"], "declined"), "A came back and learned it")
        show(self.exchanges())

    def run(self) -> None:
        self.set_up()
        folder, file = self.share()
        self.answer(folder, file)
        self.work_together()
        self.read_only()
        self.unshare(folder)
        self.while_a_is_down()

    def stop(self) -> None:
        for server in (self.a, self.b):
            server.stop()

    def what_next(self) -> None:
        print("\nBoth servers are running:")
        for server in (self.a, self.b):
            print(f"  {server.name} at {server.origin} (process {server.pid})")
        print("Try next, from the project's folder:\n")
        print(f"  export OCM_CONFIG_DIR={self.alice.config}   # be alice; {self.bob.config} is bob")
        print("  .venv/bin/ocm ls")
        print(f"  .venv/bin/ocm share experiment {self.bob.address} --write")
        print(f"  OCM_CONFIG_DIR={self.bob.config} .venv/bin/ocm inbox")
        print("  .venv/bin/ocm deliveries")
        print(f"  curl {self.a.origin}/.well-known/ocm")
        print(f"\nThe password of both is {PASSWORD!r}. Stop them with: kill {self.a.pid} {self.b.pid}")


def main() -> int:
    keep = os.environ.get("KEEP", "") not in ("", "0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    demo = Demo(FOLDER)
    try:
        demo.a.check_port()
        demo.b.check_port()
        if FOLDER.exists():
            shutil.rmtree(FOLDER)
        demo.run()
    except PortTaken as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        demo.stop()
        print(f"\nNOT OK: {error}", file=sys.stderr)
        print(f"The servers' logs are {demo.a.log} and {demo.b.log}.", file=sys.stderr)
        return 1
    except BaseException:
        demo.stop()
        raise
    print("\nEvery step held.")
    if keep:
        demo.what_next()
    else:
        demo.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
