"""The structured-field test suite (tests/vectors/structured-fields): the parser that we use, as we use it, and our fast way."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import http_sf
import pytest

from opencloudmesh.protocol.errors import SignatureRefused
from opencloudmesh.protocol.http_signatures import DEFAULT_PROFILES, signature_headers
from opencloudmesh.protocol.http_signatures.structured_fields import parse_dictionary
from tests.protocol.signed_requests import VECTORS

Record = dict[str, Any]


# ---------------------------------------------------------------- records
def records() -> list[Record]:
    files = sorted((VECTORS / "structured-fields").glob("*.json"))
    assert len(files) == 7
    return [record for file in files for record in json.loads(file.read_text("utf-8"))]


def generated() -> Iterator[Record]:
    """What the suite makes by a program: every character in a string, escaped, in a key; values of each size."""
    for number in range(128):
        char = chr(number)
        plain = 0x20 <= number < 0x7F and char not in '"\\'
        yield item(f"{number:#x} in a string", f'" {char} "', [f" {char} ", {}] if plain else None)
        yield item(f"{number:#x} escaped", f'"\\{char}"', [char, {}] if char in '"\\' else None)
        key = char.isdigit() or "a" <= char <= "z" or char in "_-.*"
        if char not in ",; \t=":
            expected = {f"a{char}a": [1, {}]} if key else None
            yield dictionary(f"{number:#x} in a key", f"a{char}a=1", expected)
            expected = {"a": [1, {f"{char}a": 1}]} if "a" <= char <= "z" or char == "*" else None
            yield dictionary(f"{number:#x} first in the key of a parameter", f"a=1;{char}a=1", expected)
    for size in range(1, 16):
        for digit in "019":
            yield item(f"{size} times {digit}", digit * size, [int(digit * size), {}]) | {"canonical": [str(int(digit * size))]}
    large = "".join(f";a{number}=1" for number in range(256))
    yield dictionary("a large inner list", f"a=({' '.join(map(str, range(256)))})", {"a": [[[n, {}] for n in range(256)], {}]})
    yield dictionary("many parameters", "a=1" + large, {"a": [1, {f"a{number}": 1 for number in range(256)}]})
    yield item("a large string", f'"{"=" * 1024}"', ["=" * 1024, {}])
    yield item(
        "a large byte sequence",
        f":{'YWFh' * 1024}:",
        [{"__type": "binary", "value": base64.b32encode(b"aaa" * 1024).decode()}, {}],
    )


def item(name: str, raw: str, expected: Any) -> Record:
    return {
        "name": name,
        "raw": [raw],
        "header_type": "item",
        **({"must_fail": True} if expected is None else {"expected": expected}),
    }


def dictionary(name: str, raw: str, expected: Any) -> Record:
    return item(name, raw, expected) | {"header_type": "dictionary"}


ALL = [
    pytest.param(record, id=f"{number}-{record['name']}".encode("ascii", "replace").decode())
    for number, record in enumerate([*records(), *generated()])
]


def test_the_records_are_many() -> None:
    assert len(records()) == 105
    assert len(ALL) > 600


# ---------------------------------------------------------------- the parser
def read(raw: list[str], kind: str) -> Any:
    """What the parser reads, in the form of the records; None where it refuses."""
    try:
        return shown(http_sf.parse(", ".join(raw).encode("latin-1", "replace"), tltype=kind), kind)
    except ValueError:
        return None


def shown(value: Any, kind: str) -> Any:
    if kind == "dictionary":
        return {key: member(inner) for key, inner in value.items()}
    return [member(inner) for inner in value] if kind == "list" else member(value)


def member(pair: Any) -> list[Any]:
    value, parameters = pair
    inner = [member(one) for one in value] if isinstance(value, list) else bare(value)
    return [inner, {name: bare(one) for name, one in parameters.items()}]


def bare(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"__type": "binary", "value": base64.b32encode(value).decode()}
    if isinstance(value, http_sf.Token):
        return {"__type": "token", "value": str(value)}
    return value if isinstance(value, bool | int | str) else float(value)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types: 1 is not true here."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@pytest.mark.parametrize("record", ALL)
def test_the_parser_reads_what_the_suite_says(record: Record) -> None:
    found = read(record["raw"], record["header_type"])
    if record.get("must_fail") or (record.get("can_fail") and found is None):
        assert found is None
    else:
        assert same(found, record["expected"])


@pytest.mark.parametrize("record", [param for param in ALL if "expected" in param.values[0]])
def test_what_was_read_is_written_in_its_canonical_form(record: Record) -> None:
    if record.get("can_fail"):
        return
    value = http_sf.parse(", ".join(record["raw"]).encode(), tltype=record["header_type"])
    canonical = record.get("canonical", record["raw"])
    assert ([http_sf.ser(value)] if value else []) == ([", ".join(canonical)] if canonical and canonical != [""] else [])


# ---------------------------------------------------------------- as we use it
def as_dictionaries(record: Record) -> list[str]:
    """The record in the places where a header of a signature could have it."""
    text = ", ".join(record["raw"])
    if record["header_type"] == "dictionary":
        return [text]
    if record["header_type"] == "list":
        return [f"ocm={text}"]
    return [
        f"ocm={text}",
        f'ocm=("date");created={text}',
        f'ocm=("date");keyid={text}',
        f"ocm=({text});created=1",
        f"ocm=();a={text}",
    ]


@pytest.mark.parametrize("record", [param for param in ALL if param.values[0]["header_type"] == "dictionary"])
def test_we_read_dictionaries_as_the_suite_says_and_refuse_what_stands_twice(record: Record) -> None:
    text, twice = ", ".join(record["raw"]), record["name"] == "duplicate key dictionary"
    if twice or record.get("must_fail"):
        with pytest.raises(SignatureRefused) as refused:
            parse_dictionary(text, malformed="sig-malformed", duplicate="sig-duplicate")
        assert refused.value.code == ("sig-duplicate" if twice else "sig-malformed")
    else:
        found = parse_dictionary(text, malformed="sig-malformed", duplicate="sig-duplicate")
        assert same(shown(found, "dictionary"), record["expected"])


@pytest.mark.parametrize("record", ALL)
def test_the_fast_way_agrees_or_declines(record: Record) -> None:
    for text in as_dictionaries(record):
        fast = signature_headers._read_common_input(text, DEFAULT_PROFILES)
        assert fast is None or fast == signature_headers._read_input(text, DEFAULT_PROFILES)
        fast_signature = signature_headers._read_common_signature(text, "ocm")
        assert fast_signature is None or fast_signature == signature_headers._read_signature(text, "ocm")


def test_the_fast_way_takes_some_of_them() -> None:
    texts = [text for param in ALL for text in as_dictionaries(param.values[0])]
    assert sum(signature_headers._read_common_input(text, DEFAULT_PROFILES) is not None for text in texts) > 100
    assert sum(signature_headers._read_common_signature(text, "ocm") is not None for text in texts) >= 4
