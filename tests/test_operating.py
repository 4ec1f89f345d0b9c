"""What the operator's pages and the files in deploy/ say is so."""

import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from sqlalchemy import create_engine

from opencloudmesh.adapters.database.schema import metadata
from opencloudmesh.cli.docs import build_page
from opencloudmesh.config import Settings
from opencloudmesh.web.server import ServerLimits

UNIT = Path("deploy/systemd/opencloudmesh.service")
CONTAINER = Path("deploy/container/Containerfile")


@pytest.fixture(scope="module")
def metrics(script) -> ModuleType:
    return script("metrics")


def test_the_table_of_metrics_is_fresh(metrics: ModuleType) -> None:
    page = metrics.PAGE.read_text("utf-8")
    assert metrics.BEGIN in page
    fresh = page == metrics.render(page)
    assert fresh, "run `make docs`"


def test_every_alert_is_explained(project_root: Path) -> None:
    rules = yaml.safe_load((project_root / "deploy/prometheus/opencloudmesh.rules.yml").read_text("utf-8"))
    named = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    page = (project_root / "docs/operate/monitoring.md").read_text("utf-8")
    assert re.findall(r"^\| `(Ocm\w+)` \|", page, re.MULTILINE) == named


def sections() -> dict[str, str]:
    """The help of every command, by its words."""
    found = re.split(r"^#+ ocm ([a-z -]+)$", build_page(), flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def calls(page: str) -> list[list[str]]:
    """The words of every call of `ocm` in the code of a page."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    code = "\n".join([*blocks, *re.findall(r"`(ocm [^`\n]*)`", page)]).replace("\\\n", " ")
    return [call.split() for call in re.findall(r"(?:^|[ /])ocm ([a-z][^#|;)>\n]*)", code, re.MULTILINE)]


def test_every_ocm_command_of_the_pages_exists_with_its_options(project_root: Path) -> None:
    known = sections()
    found = [call for page in (project_root / "docs/operate").glob("*.md") for call in calls(page.read_text("utf-8"))]
    found = [call for call in found if "ocm_new" not in call[:1]]
    assert len(found) > 40
    for call in found:
        name = " ".join(call[:2]) if " ".join(call[:2]) in known else call[0]
        options = [word.partition("=")[0] for word in call if word.startswith("--")]
        assert [option for option in options if f"`{option}" not in known[name] and option not in known[name]] == [], call


def test_the_page_about_a_new_name_says_of_every_table_what_becomes_of_it(project_root: Path, tmp_path: Path) -> None:
    """Its statements run on a database of ours; what they do not empty is what another server may keep."""
    engine = create_engine(f"sqlite:///{tmp_path / 'database'}")
    metadata.create_all(engine)
    engine.dispose()
    page = (project_root / "docs/operate/new-domain.md").read_text("utf-8")
    statements = re.findall(r'^sqlite3 \S+ "(.*)"$', page, re.MULTILINE)
    with closing(sqlite3.connect(tmp_path / "database")) as database:
        for statement in statements:
            database.executescript(statement)
    emptied = set(re.findall(r"DELETE FROM (\w+)", "".join(statements))) | {"delivery_attempts"}  # with their deliveries
    of_people = {"users", "identifiers", "contacts", "contact_aliases", "locks", "dead_properties", "dead_property_bytes"}
    of_servers = {"peers", "peer_keys", "directories", "seen_signatures", "audit", "runtime_settings"}
    assert {table.name for table in metadata.sorted_tables} - emptied == of_people | of_servers


# ---------------------------------------------------------------- systemd
@pytest.fixture
def unit(project_root: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", (project_root / UNIT).read_text("utf-8"), re.MULTILINE))


def test_the_unit_gives_the_server_time_to_stop(unit: dict[str, str]) -> None:
    assert int(unit["TimeoutStopSec"]) > ServerLimits().shutdown_seconds
    assert unit["KillSignal"] == "SIGTERM"
    assert unit["Restart"] == "on-failure"


def test_the_unit_lets_the_server_do_no_more_than_it_must(unit: dict[str, str]) -> None:
    assert unit["User"] not in ("", "root")
    wanted = {"ProtectSystem": "strict", "NoNewPrivileges": "true", "CapabilityBoundingSet": "", "PrivateTmp": "true"}
    assert {name: unit[name] for name in wanted} == wanted
    assert unit["RestrictAddressFamilies"].split() == ["AF_INET", "AF_INET6", "AF_UNIX"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("name", ["opencloudmesh.service", "opencloudmesh-backup.service", "opencloudmesh-backup.timer"])
def test_systemd_takes_the_units(project_root: Path, tmp_path: Path, name: str) -> None:
    for unit in (project_root / UNIT).parent.iterdir():
        program = "/opt/opencloudmesh/bin/ocm"
        (tmp_path / unit.name).write_text(unit.read_text("utf-8").replace(program, "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", tmp_path / name], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")


# ---------------------------------------------------------------- container
def test_the_container_takes_pinned_packages_only_and_runs_as_nobody_special(project_root: Path) -> None:
    text = (project_root / CONTAINER).read_text("utf-8")
    installs = re.findall(r"pip install ([^&]*)", text)
    assert installs
    assert all("--require-hashes" in each or "--no-deps" in each for each in installs)
    assert re.search(r"^USER [1-9]\d*$", text, re.MULTILINE)
    assert "/readyz" in text
    assert f"OCM_LISTEN_PORT={Settings().listen_port}" in text


def test_the_lock_files_pin_what_the_container_adds(project_root: Path) -> None:
    lock = (project_root / "requirements.lock").read_text("utf-8")
    for name in ("psycopg", "psycopg-binary", "setuptools"):
        assert re.search(rf"^{name}(\[[a-z]+\])?==", lock, re.MULTILINE), name


def test_install_and_upgrade_take_the_same_packages_as_the_container(project_root: Path) -> None:
    command = re.search(r"sed -n '([^']*)'", (project_root / CONTAINER).read_text("utf-8"))
    assert command is not None
    for page in ("install", "upgrade"):
        assert command[1] in (project_root / f"docs/operate/{page}.md").read_text("utf-8")
