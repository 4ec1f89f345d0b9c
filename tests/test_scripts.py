"""The set-up scripts say clearly what is missing. They run with a made-up PATH, and change nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def program(folder: Path, name: str, text: str) -> Path:
    """Make a small shell program."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for PATH with what a POSIX shell script expects, and nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "dirname", "rm", "ls", "cat", "env", "tee", "chmod", "mktemp", "tail"):
        found = next(Path(place) / name for place in ("/bin", "/usr/bin") if (Path(place) / name).exists())
        (folder / name).symlink_to(found)
    return folder


@pytest.fixture
def tree(tmp_path: Path, project_root: Path) -> Path:
    """A project folder with the scripts only."""
    (tmp_path / "tree/scripts").mkdir(parents=True)
    for script in (project_root / "scripts").iterdir():
        if script.is_file():
            (tmp_path / "tree/scripts" / script.name).symlink_to(script)
    return tmp_path / "tree"


def run(tree: Path, tools: Path, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [tree / "scripts" / command[0], *command[1:]],
        cwd=tree,
        env={"PATH": str(tools), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_no_python(tree: Path, tools: Path) -> None:
    done = run(tree, tools, "venv", "requirements.lock", PYTHON="python3.99")
    assert done.returncode == 1
    assert "there is no 'python3.99' here" in done.stderr
    assert "python3-venv" in done.stderr


def test_an_old_python_is_named(tree: Path, tools: Path) -> None:
    program(tools, "python3", 'case "$2" in *print*) echo 3.9 ;; *) exit 1 ;; esac')
    done = run(tree, tools, "venv", "requirements.lock")
    assert done.returncode == 1
    assert "Python 3.9; 3.11 or newer is needed" in done.stderr


def test_a_python_without_venv_names_the_debian_package(tree: Path, tools: Path) -> None:
    program(tools, "python3", 'case "$2" in *print*) echo 3.11 ;; *ensurepip*) exit 1 ;; *) exit 0 ;; esac')
    done = run(tree, tools, "venv", "requirements.lock")
    assert done.returncode == 1
    assert "apt-get install python3.11-venv" in done.stderr
    assert not (tree / ".venv").exists()


def test_a_failed_set_up_leaves_no_half_made_environment(tree: Path, tools: Path) -> None:
    program(tools, "python3", 'case "$2" in *print*) echo 3.11 ;; venv) exit 1 ;; *) exit 0 ;; esac')
    done = run(tree, tools, "venv", "requirements.lock")
    assert done.returncode == 1
    assert "-m venv .venv' failed" in done.stderr
    assert not (tree / ".venv").exists()


def test_present_programs_are_not_installed(tree: Path, tools: Path) -> None:
    program(tools, "rclone", "exit 0")
    program(tools, "id", "echo 0")
    program(tools, "apt-get", "echo called >&2; exit 1")
    done = run(tree, tools, "debian-packages", "rclone")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_the_right_to_install_the_command_is_printed(tree: Path, tools: Path) -> None:
    program(tools, "id", "echo 1000")
    program(tools, "apt-get", "echo called >&2; exit 1")
    done = run(tree, tools, "debian-packages", "rclone")
    assert done.returncode == 1
    assert "apt-get install --no-install-recommends rclone" in done.stderr
    assert "called" not in done.stderr


APT_GET = """
case "$*" in
update*) : >"$HERE/updated" ;;
*) [ -e "$HERE/updated" ] || exit 100
   cp_policy=$(cat "$POLICY_RC_D")
   printf '#!/bin/sh\\n' >"$HERE/bin/rclone"; chmod 755 "$HERE/bin/rclone"
   printf '%s\\n%s\\n' "$*" "$cp_policy" >"$HERE/installed" ;;
esac
"""


def test_what_is_missing_is_installed_without_starting_services(tree: Path, tools: Path, tmp_path: Path) -> None:
    program(tools, "id", "echo 0")
    program(tools, "apt-get", APT_GET)
    policy = tmp_path / "policy-rc.d"
    done = run(tree, tools, "debian-packages", "rclone", POLICY_RC_D=str(policy), HERE=str(tmp_path), TMPDIR=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "set-up: apt-get install rclone\n"
    command, *policy_then = (tmp_path / "installed").read_text().splitlines()
    assert command.endswith(" rclone")
    assert policy_then == ["#!/bin/sh", "exit 101"]
    assert not policy.exists()


def test_a_failed_installation_shows_why(tree: Path, tools: Path, tmp_path: Path) -> None:
    program(tools, "id", "echo 0")
    program(tools, "apt-get", "echo E: no such mirror; exit 100")
    policy = tmp_path / "policy-rc.d"
    done = run(tree, tools, "debian-packages", "rclone", POLICY_RC_D=str(policy), TMPDIR=str(tmp_path))
    assert done.returncode == 1
    assert "E: no such mirror" in done.stderr
    assert "could not install rclone" in done.stderr
    assert not policy.exists()


def test_quietly_says_one_line_on_success(tree: Path, tools: Path) -> None:
    done = run(tree, tools, "quietly", "style", "sh", "-c", "echo much; echo more")
    assert (done.returncode, done.stdout, done.stderr) == (0, "style: ok\n", "")


def test_quietly_says_everything_on_failure(tree: Path, tools: Path) -> None:
    done = run(tree, tools, "quietly", "style", "sh", "-c", "echo much; echo more >&2; exit 3")
    assert done.returncode == 3
    assert "much\nmore\nstyle: failed" in done.stderr


def test_the_build_server_calls_make_test_and_nothing_else(project_root: Path) -> None:
    script = project_root / ".ci/run"
    assert os.access(script, os.X_OK)
    lines = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]
    assert lines == ["set -euo pipefail", 'cd "$(dirname "${BASH_SOURCE[0]}")/.."', "exec make --no-print-directory test"]


@pytest.mark.parametrize(("argument", "status"), [("--help", 0), ("webdaf", 2)])
def test_the_benchmarks_say_what_there_is_to_measure(project_root: Path, argument: str, status: int) -> None:
    command = [sys.executable, "-m", "benchmarks", argument]
    done = subprocess.run(command, cwd=project_root, capture_output=True, text=True, timeout=300)
    assert done.returncode == status
    said = done.stdout if status == 0 else done.stderr
    assert all(part in said for part in ("signatures", "webdav", "dead-peer")), said
