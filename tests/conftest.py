"""What every test may use."""

import importlib.util
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).resolve().parent.parent

# Hundreds of servers and commands are started: each would compile the whole product anew, and each worker all tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Properties are about what holds, not about how long a loaded machine takes to show it; and what a commit shows it shows every
# time: new inputs are for `make fuzz`. It stands here, for a test takes the profile that there is when it is read.
settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The root of the project's tree."""
    return ROOT


@pytest.fixture(scope="session")
def script() -> Callable[[str], ModuleType]:
    """Load scripts/NAME.py as a module."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"scripts_{name}", ROOT / "scripts" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def quiet_logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands run in this process set no logging up: it would outlive the test, and the stream that it writes to."""
    monkeypatch.setattr("opencloudmesh.adapters.logs.configure_logs", lambda level: None)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR), cache_logger_on_first_use=False)
    yield
    structlog.reset_defaults()


_LONGEST = (
    "tests/browser",
    "tests/web/test_openapi.py",
    "tests/federation/test_ssrf.py",
    "tests/federation/test_contact_commands.py",
    "tests/federation/test_trust_decisions.py",
    "tests/test_crash.py",
    "tests/federation/test_reverse_proxy.py",
    "tests/federation/test_federation.py",
    "tests/federation/test_exchange_log.py",
    "tests/federation/test_limits.py",
    "tests/federation/test_invite_matrix.py",
    "tests/test_chaos.py",
    "tests/federation/test_availability.py",
    "tests/federation/test_postgres.py",
    "tests/test_documentation.py",
    "tests/webdav/test_rclone.py",
    "tests/federation/test_own_files.py",
)
"""They take long, with few tests: started last, one of them would keep one process busy when all others are done."""


class _LongestFirst(LoadFileScheduling):
    """`--dist loadfile`, longest first, with all that a browser does in one process: its servers are started once."""

    def _split_scope(self, nodeid: str) -> str:
        return _scope(nodeid)


def _scope(nodeid: str) -> str:
    return "tests/browser" if nodeid.startswith("tests/browser/") else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadFileScheduling | None:
    """Files of tests go to processes as a whole."""
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return _LongestFirst(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In processes: the longest files first, then those with the most tests."""
    if hasattr(config, "workerinput"):
        tests = Counter(_scope(item.nodeid) for item in items)
        place = {name: number for number, name in enumerate(_LONGEST)}
        items.sort(key=lambda item: (place.get(_scope(item.nodeid), len(place)), -tests[_scope(item.nodeid)]))
