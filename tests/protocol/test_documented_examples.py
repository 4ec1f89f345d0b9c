"""The examples in the docstrings of the signature library, and of docs/signatures.md, give what they say."""

import ast
import doctest
import importlib
import pkgutil
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from opencloudmesh.protocol import http_signatures, jwks

PAGE = Path(__file__).resolve().parent.parent.parent / "docs/signatures.md"
MODULES = [jwks, http_signatures] + [
    importlib.import_module(f"{http_signatures.__name__}.{module.name}")
    for module in pkgutil.iter_modules(http_signatures.__path__)
]
EXAMPLES = [
    pytest.param(example, id=example.name.removeprefix("opencloudmesh.protocol."))
    for module in MODULES
    for example in doctest.DocTestFinder().find(module)
    if example.examples
]


def run(example: doctest.DocTest) -> str:
    told: list[str] = []
    doctest.DocTestRunner(verbose=False).run(example, out=told.append, clear_globs=False)
    return "".join(told)


def test_there_are_examples_for_the_public_functions() -> None:
    found = {str(param.id) for param in EXAMPLES}
    assert {
        "http_signatures",
        "http_signatures.content_digest.digest",
        "http_signatures.profiles.Profile",
        "http_signatures.signing.sign",
        "http_signatures.verifying.host_of_keyid",
        "http_signatures.verifying.read_signature",
        "jwks.build_jwk",
        "jwks.parse_key_set",
        "jwks.thumbprint",
    } <= found


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_of_docstrings(example: doctest.DocTest) -> None:
    assert run(example) == ""


def test_a_wrong_example_is_found() -> None:
    example = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert "Expected" in run(example)


def test_every_public_name_is_documented() -> None:
    for name in http_signatures.__all__:
        value = getattr(http_signatures, name)
        assert not callable(value) or value.__doc__, name


# ---------------------------------------------------------------- the page
def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_worked_example_of_the_page_gives_what_it_shows() -> None:
    example = doctest.DocTestParser().get_doctest("\n".join(blocks("pycon")), {}, PAGE.name, str(PAGE), 0)
    assert len(example.examples) > 15
    assert run(example) == ""
    shown = example.globs
    (request,) = blocks("http")
    lines = [f"{name}: {value}" for name, value in shown["signed"].headers]
    assert request.rstrip("\n").split("\n") == ["POST /ocm/shares HTTP/1.1", *lines, "", shown["body"].decode()]
    (base,) = blocks("text")
    assert base.rstrip("\n") == shown["base"].decode()


def rows() -> dict[str, tuple[str, str]]:
    found = re.findall(r"^\| `([a-z0-9-]+)` \| (.+?) \| (.+?) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(found) == len({code for code, *_ in found})
    return {code: (means, mend) for code, means, mend in found}


def test_every_code_of_signatures_and_key_sets_is_on_the_page(script: Callable[[str], ModuleType]) -> None:
    reason_codes = script("reason_codes")
    modules = {path: module for path, module in reason_codes.sources().items() if "doctor" not in path.parts}
    codes = {found.code for found in reason_codes.codes(modules) if found.code.startswith("sig-")}
    assert len(codes) > 25
    assert sorted((codes | {"keys-invalid", "keys-too-large", "keys-too-many", "sender-not-signer"}) - rows().keys()) == []
    assert all(len(means) > 30 and len(mend) > 20 for means, mend in rows().values())


def test_every_reason_not_to_use_a_key_is_on_the_page() -> None:
    tree = ast.parse(Path(jwks.__file__).read_text("utf-8"))
    raised = [
        node.args[0] for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_Unusable"
    ]
    strings = [node.value for argument in raised for node in ast.walk(argument) if isinstance(node, ast.Constant)]
    reasons = [text for text in strings if isinstance(text, str) and len(text) > 12 and " bits" not in text]
    assert len(reasons) >= 8
    page = PAGE.read_text("utf-8")
    assert [reason for reason in [*reasons, "several keys have this kid"] if reason not in page] == []
