"""The `ocm` command: puts the commands together, and is the one place that turns errors into terminal text and exit status."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cyclopts import App, CycloptsError, Group, UnusedCliTokensError

from opencloudmesh import __version__
from opencloudmesh.cli import (
    app_passwords,
    backup,
    contacts,
    deliveries,
    directories,
    doctor,
    exchanges,
    files,
    invites,
    keys,
    operator,
    peers,
    session,
    share_requests,
    sharing,
)
from opencloudmesh.cli.faults import EXIT_FAILED, EXIT_INTERRUPTED, UsageFault, exit_status, own_server_hint
from opencloudmesh.cli.operator import dir_option
from opencloudmesh.cli.terminal import PARAMETERS, Terminal
from opencloudmesh.protocol.errors import OCMError, PeerUnreachable

HELP = """Share files with people on other servers, over Open Cloud Mesh.

Log in to your own server first: ocm login https://cloud.example.org alice
"""


def build_app() -> App:
    """All commands, in the groups that `ocm --help` shows."""
    app = App(
        name="ocm",
        help=HELP,
        version=__version__,
        # Reading markup would load a Markdown parser for each --help.
        help_format="plaintext",
        default_parameter=PARAMETERS,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    titles = ("Session", "Files", "Sharing", "Running a server")
    groups = [Group(title, sort_key=place) for place, title in enumerate(titles)]
    session.register(app, groups[0])
    app_passwords.register(app, groups[0])
    files.register(app, groups[1])
    sharing.register(app, groups[2])
    invites.register(app, groups[2])
    contacts.register(app, groups[2])
    share_requests.register(app, groups[2])
    deliveries.register(app, groups[2])
    operator.register(app, groups[3])
    peers.register(app, groups[3])
    keys.register(app, groups[3])
    exchanges.register(app, groups[3])
    backup.register(app, groups[3])
    doctor.register(app, groups[3])
    directories.register(app, groups[3])
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    _allow_any_text()
    tokens = _with_json_last(sys.argv[1:] if arguments is None else arguments)
    terminal = Terminal(json=_wants_json(tokens), there=_dir_option_of(tokens))
    try:
        status = build_app()(tokens, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        return _fail(terminal, _usage_fault(error))
    except OCMError as error:
        return _fail(terminal, error)
    except KeyboardInterrupt:
        return _fail(terminal, OCMError("Interrupted.", code="interrupted"), EXIT_INTERRUPTED)
    except BrokenPipeError:
        # Nobody reads on (`ocm ls | head`); the interpreter's own flush at exit must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:
        return _fail(terminal, _local_fault(error))
    return status if isinstance(status, int) else 0


def _fail(terminal: Terminal, error: OCMError, status: int | None = None) -> int:
    if isinstance(error, PeerUnreachable):
        # Nothing but the own server is asked from here.
        error = PeerUnreachable(error.sentence, code=error.code, hint=own_server_hint(error))
    terminal.error(error)
    return exit_status(error) if status is None else status


def _usage_fault(error: CycloptsError) -> UsageFault:
    command = " ".join(("ocm", *(error.command_chain or ())))
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        many = " ".join(error.unused_tokens[:5]) + (" ..." if len(error.unused_tokens) > 5 else "")
        return UsageFault(f"That is more than {command} takes at once: {many}", hint=f"See: {command} --help")
    return UsageFault(" ".join(str(error).split()), hint=f"See: {command} --help")


def _local_fault(error: OSError) -> OCMError:
    where = f"{error.filename}: " if isinstance(error.filename, str) else ""
    return OCMError(f"{where}{error.strerror or type(error).__name__}.", code="local-file")


def _allow_any_text() -> None:
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def _wants_json(tokens: Sequence[str]) -> bool:
    return "--json" in _options_of(tokens)


def _dir_option_of(tokens: Sequence[str]) -> str:
    """The `--dir` that was typed, as it is typed again."""
    options = _options_of(tokens)
    for at, word in enumerate(options):
        if word.startswith("--dir="):
            return dir_option(Path(word.partition("=")[2]))
        if word == "--dir" and at + 1 < len(options):
            return dir_option(Path(options[at + 1]))
    return ""


def _options_of(tokens: Sequence[str]) -> Sequence[str]:
    return tokens[: tokens.index("--")] if "--" in tokens else tokens


def _with_json_last(tokens: Sequence[str]) -> list[str]:
    """Let `--json` stand before the command too."""
    rest = list(tokens)
    while len(rest) > 1 and rest[0] == "--json":
        rest = rest[1:]
        rest.insert(len(_options_of(rest)), "--json")
    return rest
