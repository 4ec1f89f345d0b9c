"""The page docs/cli.md: the help of every command. `python -m opencloudmesh.cli.docs` writes it, a test compares it."""

import sys
from pathlib import Path

from opencloudmesh.cli.main import build_app

PAGE = Path("docs/cli.md")
_HEAD = """<!-- Generated: python -m opencloudmesh.cli.docs -->
# The ocm command

Every command takes `--json`: it prints one JSON document, also on an error (`{"error": {"code", "message", "hint"}}`).

| exit status | meaning |
| --- | --- |
| 0 | done |
| 1 | refused or failed |
| 2 | the command was typed wrong |
| 3 | not logged in, or the session has ended |
| 4 | your server cannot be reached |
| 5 | done, with warnings (`ocm doctor`, `ocm backup`) |

The session is kept in `session.json` (mode 0600) in `$OCM_CONFIG_DIR`, else `$XDG_CONFIG_HOME/opencloudmesh`, else
`~/.config/opencloudmesh`.

"""


def build_page() -> str:
    """Return the page."""
    started_as = sys.argv
    sys.argv = ["ocm"]  # what the usage lines begin with
    try:
        text = build_app().generate_docs(output_format="markdown", heading_level=2)
    finally:
        sys.argv = started_as
    # Empty lines at the end of a part and spaces at the end of a line say nothing.
    return _HEAD + "\n".join(line.rstrip() for line in text.splitlines()).strip() + "\n"


def write_page(page: Path = PAGE) -> None:
    """Write the page."""
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(build_page(), "utf-8")


if __name__ == "__main__":
    write_page()
