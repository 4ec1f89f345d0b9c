"""Through the mount: a client asks its server for what another server holds, beside the same asked of that server directly.

200 MB downloads and uploads are measured in turns; then a remote folder of 1,000 files is listed again and again, and the
requests that reach its owner are counted in the owner's exchange log.
"""

import os
import statistics
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from opencloudmesh.adapters.keys import load_signing_key
from opencloudmesh.adapters.tokens import JwtIssuer
from tests.federation.site import Site, User
from tests.federation.wire import quoted, wait_until

SIZE = 200 * 1024 * 1024
ROUNDS = 7
FILES = 1000
LISTINGS = 20
_ASKED = (
    '<propfind xmlns="DAV:"><prop>'
    "<resourcetype/><getcontentlength/><getlastmodified/><getetag/><getcontenttype/></prop></propfind>"
)
"""What file managers and sync clients ask for."""
RowValues = tuple[str, float, str, str, float | None]


def measure(folder: Path) -> list[RowValues]:
    with ExitStack() as stack:
        owner_site, site = (Site(folder / name, [user]) for name, user in (("a", "alice"), ("b", "bob")))
        for one in (owner_site, site):
            one.set_up()
            one.start()
            stack.callback(one.stop)
        alice, bob = User(owner_site, "alice"), User(site, "bob")
        alice.make_folder("shared")
        share = alice.share("shared", bob.address, ["read", "write"])
        wait_until(lambda: bob.received(share["provider_id"]))
        path = bob.answer("accept", share["provider_id"])["path"]
        direct = _Place(f"{owner_site.origin}/dav/ocm/{share['provider_id']}", _token(owner_site, share, site.host))
        mount = _Place(f"{site.origin}/dav/files/bob/{quoted(path)}", bob.token)
        return [*_transfers(folder, direct, mount), *_listings(site, alice, direct, mount)]


def _token(owner_site: Site, share: dict[str, str], client: str) -> str:
    """An access token for the share, as its receiver gets it."""
    signer = load_signing_key(owner_site.folder / "keys" / "signing.pem", owner_site.host)
    now = int(time.time())
    claims = {"iss": owner_site.origin, "share": share["provider_id"], "client_id": client, "iat": now, "exp": now + 3600}
    return JwtIssuer(signer, owner_site.origin).issue(claims)


class _Place:
    """The shared folder at one of the two servers."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._token = token

    def curl(self, good: str, target: str, *arguments: str) -> float:
        """Seconds that curl takes, as curl counts them."""
        form = "%{http_code} %{time_total}"
        command = ["curl", "-sS", "-o", "/dev/null", "-w", form, "-H", f"Authorization: Bearer {self._token}", *arguments]
        done = subprocess.run([*command, f"{self.url}/{target}"], capture_output=True, text=True, check=True)
        status, seconds = done.stdout.split()
        if status not in good.split():
            raise RuntimeError(f"{self.url}/{target}: {done.stdout}")
        return float(seconds)

    def get(self) -> float:
        return self.curl("200", "big.bin")

    def put(self, file: Path) -> float:
        return self.curl("201 204", "big.bin", "-T", str(file), "-H", "Expect:")

    def list(self) -> float:
        return self.curl("207", "many/", "-X", "PROPFIND", "-H", "Depth: 1", "--data", _ASKED)


def _transfers(folder: Path, direct: _Place, mount: _Place) -> list[RowValues]:
    big = folder / "big.bin"
    with big.open("wb") as file:
        for _ in range(SIZE // (1 << 20)):
            file.write(os.urandom(1 << 20))
    mount.put(big)
    rows: list[RowValues] = []
    for name, way in (("GET", _Place.get), ("PUT", lambda place: place.put(big))):
        taken: tuple[list[float], list[float]] = ([], [])
        for number in range(ROUNDS + 1):
            for place, into in zip((direct, mount), taken, strict=True):
                seconds = way(place)
                if number:  # the first round warms up
                    into.append(seconds)
        rates = [SIZE / 1e6 / statistics.median(values) for values in taken]
        ratio = statistics.median(there / here for there, here in zip(*taken, strict=True))
        rows += [
            (f"{name} of 200 MB from its owner's server", rates[0], "MB/s", "", None),
            (f"{name} of 200 MB through the mount", rates[1], "MB/s", "directly (at least 0.6)", ratio),
        ]
    return rows


def _listings(site: Site, alice: User, direct: _Place, mount: _Place) -> list[RowValues]:
    alice.make_folder("shared/many")
    many = alice.site.files_of("alice") / "shared" / "many"
    for number in range(FILES):
        (many / f"measurement {number}.csv").write_bytes(b"content")
    first = mount.list()
    before = _asked(site)
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(LISTINGS):
        taken[0].append(direct.list())
        taken[1].append(mount.list())
    asked = (_asked(site) - before) / LISTINGS
    medians = [statistics.median(values) * 1000 for values in taken]
    return [
        ("listing 1,000 files at their owner's server", medians[0], "ms", "", None),
        ("listing them through the mount, first time", first * 1000, "ms", "directly", first * 1000 / medians[0]),
        ("listing them through the mount again", medians[1], "ms", "directly", medians[1] / medians[0]),
        ("requests to the owner's server for each of these", asked, "", "one (at most 1)", asked),
    ]


def _asked(site: Site) -> int:
    """How many listings the mount has asked for; the exchange log is written a moment later."""
    counts = [-1]

    def is_quiet() -> bool:
        time.sleep(1.0)
        found = site.exchanges("--direction", "out", "--limit", "1000")
        counts.append(sum(one["method"] == "PROPFIND" for one in found))
        return counts[-1] == counts[-2]

    wait_until(is_quiet)
    return counts[-1]
