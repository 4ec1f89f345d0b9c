"""What is wrong with a request, in words for a person."""

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from opencloudmesh.web.user_api.faults import sentence_of
from opencloudmesh.web.user_api.values import DECIMAL, text


class Asked(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    line: Annotated[str, text(1, 3)] = "a"
    word: Annotated[str, StringConstraints(pattern="^[a-z]+$")] = "a"
    number: int = Field(1, ge=1, le=9)
    kind: Literal["file", "folder"] = "file"
    parts: list[str] = Field(["a"], min_length=1, max_length=2)
    wanted: bool = False
    page: Annotated[int, DECIMAL] = 1


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ('{"line": "a\\u0001"}', "must be one line, without control characters"),
        ('{"line": ""}', "is too short: at least 1 character"),
        ('{"line": "abcd"}', "is too long: at most 3 characters"),
        ('{"line": 7}', "must be text"),
        ('{"word": "A1"}', "has characters that are not allowed here, or not the form that is asked for"),
        ('{"number": 0}', "must be 1 or more"),
        ('{"number": 10}', "must be 9 or less"),
        ('{"number": "1"}', "must be a whole number"),
        ('{"kind": "link"}', "must be 'file' or 'folder'"),
        ('{"parts": []}', "has too few entries: at least 1"),
        ('{"parts": "a"}', "must be a list"),
        ('{"wanted": "x"}', "must be true or false"),
        ('{"page": "1_0"}', "must be a decimal number"),
        ('{"other": 1}', "is not known here"),
        ("{", "is no JSON"),
    ],
)
def test_every_fault_is_a_sentence(document: str, said: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        Asked.model_validate_json(document)
    assert [sentence_of(fault) for fault in refusal.value.errors()] == [said]


def test_words_that_we_have_not_are_those_of_the_library() -> None:
    assert sentence_of({"type": "url_parsing", "msg": "Input should be a valid URL"}) == "Input should be a valid URL"
    assert sentence_of({"type": "too_long"}) == "is not valid"
