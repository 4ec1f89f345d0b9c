"""The texts of the pages: all in one catalogue, each of them used, none beside it."""

import ast
import re

import pytest

from opencloudmesh.web.pages.page import HERE
from opencloudmesh.web.pages.texts import TEXTS, reason_text, right_text, text

_MADE_OF_PARTS = ("done.", "menu.", "state.", "reason.", "right.", "contacts.by.", "demand.", "requests.state.")
_JINJA = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", re.DOTALL)
_SAID_BY_ATTRIBUTES = re.compile(r"\b(?:aria-label|aria-description|title|alt|placeholder|value)=\"([^\"]*)\"")
_TEMPLATES = sorted((HERE / "templates").glob("*.html"))
_MODULES = sorted(path for path in HERE.glob("*.py") if path.name != "texts.py")


def test_every_text_is_used_and_every_used_one_is_there() -> None:
    used = set()
    for path in (*_TEMPLATES, *_MODULES):
        used |= set(re.findall(r'\b(?:t|text)\("([a-z_.]+)"', path.read_text()))
    assert {key for key in used - TEXTS.keys() if key not in _MADE_OF_PARTS} == set()
    assert {key for key in TEXTS.keys() - used if not key.startswith(_MADE_OF_PARTS)} == set()


@pytest.mark.parametrize("path", _TEMPLATES, ids=lambda path: path.name)
def test_no_template_says_anything_by_itself(path: object) -> None:
    assert words_of(path.read_text()) == []  # type: ignore[attr-defined]


def words_of(template: str) -> list[str]:
    """What a template says to a reader that does not come out of an expression."""
    plain = _JINJA.sub("", template)
    said = [value for value in _SAID_BY_ATTRIBUTES.findall(plain) if re.search(r"[A-Za-z]{2}", value)]
    return said + re.findall(r"[A-Za-z]{2,}", re.sub(r"<[^>]*>", " ", plain))


def test_words_beside_the_catalogue_are_found() -> None:
    assert words_of('<p title="Hello">{{ t("x") }} <b>{% if a %}there{% endif %}</b></p>') == ["Hello", "there"]


@pytest.mark.parametrize("path", _MODULES, ids=lambda path: path.name)
def test_no_module_says_anything_by_itself(path: object) -> None:
    tree = ast.parse(path.read_text())  # type: ignore[attr-defined]
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    said = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docs
        and re.fullmatch(r"[A-Z][^;]*[a-z]+ [a-z]+.*[.!?]", node.value)
    ]
    assert said == []


def test_what_is_put_in_is_shown_as_it_is() -> None:
    assert text("accept.first", host="{name}") == TEXTS["accept.first"].replace("{host}", "{name}")


def test_a_code_without_a_text_is_shown_itself() -> None:
    assert reason_text("dns") == f"{TEXTS['reason.dns']} (dns)"
    assert reason_text("never-heard-of") == "never-heard-of"
    assert (right_text("write"), right_text("<b>")) == (TEXTS["right.write"], "<b>")
