"""The example of docs/webdav.md, as somebody would run it, under uvicorn; litmus is its client."""

import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.litmus import LITMUS, SUITES, run_litmus

_EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[str]:
    """Its URL."""
    page = Path(__file__).parents[2] / "docs/webdav.md"
    (example,) = _EXAMPLE.findall(page.read_text("utf-8"))
    (tmp_path / "shelf.py").write_text(example)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.listen(64)
        command = [sys.executable, "-m", "uvicorn", "shelf:app", "--fd", str(listener.fileno()), "--no-access-log"]
        server = subprocess.Popen(command, cwd=tmp_path, pass_fds=[listener.fileno()], stdin=subprocess.DEVNULL)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/dav/ada/"
        finally:
            server.terminate()
            server.wait(90)


@pytest.mark.skipif(LITMUS is None, reason="litmus (a Debian package) is not installed")
def test_the_example_is_a_webdav_server(shelf: str, tmp_path: Path) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):  # the listener takes the request while the server starts
        urllib.request.urlopen(shelf, timeout=90)
    outcome = run_litmus(shelf, "ada", "correct horse", folder=tmp_path)
    assert outcome.passed == SUITES, outcome.output
    # uvicorn drops the fragment of a request target
    assert [line for line in outcome.remarks if "including fragment" not in line and "1 warning" not in line] == []
