"""Passwords come from the terminal, without echo, or from a file; never from the command line, where others could read them."""

import sys
from pathlib import Path

from opencloudmesh.cli.faults import UsageFault
from opencloudmesh.services.records import Secret


def read_password(prompt: str, *, file: str | None, repeat: bool = False) -> Secret:
    """Return the password: the first line of `file` (`-` is standard input), else asked for on the terminal."""
    password = _typed(prompt, repeat=repeat) if file is None else _first_line(file)
    if not password:
        raise UsageFault("The password is empty.", code="password-missing", hint="Give a password of at least one character.")
    return Secret(password)


def _first_line(file: str) -> str:
    try:
        text = sys.stdin.readline() if file == "-" else Path(file).read_text("utf-8")
    except OSError as error:
        hint = "Name a file that holds the password in its first line."
        raise UsageFault(f"{file} cannot be read: {error.strerror}.", code="password-missing", hint=hint) from None
    except UnicodeDecodeError:
        raise UsageFault(f"{file} is not UTF-8 text.", code="password-missing", hint="Save the file as UTF-8 text.") from None
    return text.split("\n", 1)[0].removesuffix("\r")


def _typed(prompt: str, *, repeat: bool) -> str:
    from getpass import getpass

    if not sys.stdin.isatty():
        hint = "Use --password-file FILE, or --password-file - for standard input."
        raise UsageFault("There is no terminal to ask for the password on.", code="password-missing", hint=hint)
    password = getpass(f"{prompt}: ")
    if repeat and getpass(f"{prompt} again: ") != password:
        raise UsageFault("The two passwords differ.", code="password-mismatch", hint="Type the same password twice.")
    return password
