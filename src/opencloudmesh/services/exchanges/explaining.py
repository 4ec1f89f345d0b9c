"""Why the signature of a request was refused, as the operator is told it; its sender gets the reason code alone.

Rules kept here: it is found out only for what the log keeps (so at most 60 times a minute for unverified senders), when the row
is made, in the log's thread: no answer waits for it, and none takes longer or shorter for it.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from opencloudmesh.protocol.errors import OCMError, SignatureRefused

Diagnose = Callable[[], Mapping[str, Any]]
_MOST_BYTES: Final = 8192
_LONGEST: Final = 512


def diagnosis_of(error: BaseException) -> Diagnose | None:
    """What explains this refusal, if it is one of a signature, or was caused by one."""
    for found in (error, error.__cause__):
        if isinstance(found, SignatureRefused):
            return found.diagnostics if found.examine is not None else None
    return None


def kept(diagnose: Diagnose | None) -> str:
    """The explanation as JSON, as it is kept; empty where there is none, or none can be given."""
    if diagnose is None:
        return ""
    try:
        text = json.dumps(_short(dict(diagnose())))
    except (OCMError, ValueError, TypeError):
        return ""
    return text if len(text) <= _MOST_BYTES else json.dumps({"cut": True})


def _short(value: Any) -> Any:
    """What a stranger wrote can be long."""
    if isinstance(value, str):
        return value[:_LONGEST]
    if isinstance(value, Mapping):
        return {str(name): _short(one) for name, one in value.items()}
    return [_short(one) for one in value[:32]] if isinstance(value, list | tuple) else value


def read(text: str) -> Mapping[str, Any]:
    """What `kept` gave; empty where there is nothing."""
    found = json.loads(text) if text else {}
    return found if isinstance(found, dict) else {}


def sentence_of(diagnosis: Mapping[str, Any]) -> str:
    """The explanation in a sentence, with what to look at; empty where there is none."""
    differs, missing = diagnosis.get("differs"), diagnosis.get("missing")
    if isinstance(differs, Mapping):
        return _of_difference(str(differs.get("component")), str(differs.get("expected")), str(differs.get("received")))
    if missing:
        return f"It does not cover what {diagnosis.get('profile')} asks for: {', '.join(map(str, missing))}."
    if diagnosis.get("code") == "sig-mismatch":
        return (
            "None of the changes that proxies usually make explains it: another header that it covers was changed on the way, "
            "or it was made with another key."
        )
    return ""


def _of_difference(component: str, expected: str, received: str) -> str:
    if component == "@target-uri":
        return f"It was signed for {expected}, and here that is {received}. {_of_target(expected, received)}"
    if component == "@method":
        return f"It was signed as {expected}, and {received} arrived."
    if component == "content-length":
        return f"It says that its body has {expected} bytes, and {received} arrived: the body was cut or changed on the way."
    if component == "content-digest":
        return f"The body is not the one that was signed: signed was {expected}, what arrived has {received}."
    return f"It was signed with {component}: {expected}, and {received} arrived."


def _of_target(expected: str, received: str) -> str:
    signed, here = _parts(expected), _parts(received)
    if signed is None or here is None or not signed[0]:
        return "The sender signs another form of the address."
    if signed[:2] != here[:2]:
        return "The sender knows this server by another address: compare `origin` in the configuration with what it fetched."
    return "A reverse proxy changes paths (nginx: proxy_pass without a path), or the sender adds to the address it was given."


def _parts(url: str) -> tuple[str, str, str] | None:
    try:
        found = urlsplit(url)
    except ValueError:
        return None
    return found.scheme, found.netloc, found.path
