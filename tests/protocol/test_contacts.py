"""Address books as files: what is written is read again, real-world shapes are read, each bad entry is named."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.protocol.address import OCMAddress
from opencloudmesh.protocol.contacts import (
    LARGEST_FILE,
    Card,
    CardFile,
    build_jscontact,
    build_vcards,
    parse_cards,
    parse_vcards,
    visible,
)
from opencloudmesh.protocol.contacts.cards import KEPT_FAULTS
from opencloudmesh.protocol.contacts.jscontact import parse_jscontact
from opencloudmesh.protocol.errors import InvalidInput

DORA = Card(OCMAddress("dora", "away.example"), "Dora Müller", "d@away.example", "invite", True, 1_700_000_000.0)
BARE = Card(OCMAddress("51dc", "away.example:8443"), "", "", "direct")
ODD = Card(OCMAddress("a;b,c\\d", "away.example"), "Müller, Dora; Dr. \\ " + "ü" * 100, "")


def seen(file: CardFile) -> list[tuple[str, str, str]]:
    return [(str(card.address), card.name, card.email) for card in file.cards]


def fault_codes(file: CardFile) -> list[tuple[int, str]]:
    return [(fault.number, fault.code) for fault in file.faults]


# ---------------------------------------------------------------- there and back
@pytest.mark.spec("CARD-1")
@pytest.mark.parametrize("build", [build_jscontact, build_vcards, lambda cards: build_vcards(cards, version="4.0")])
def test_what_is_written_is_read_again(build) -> None:
    cards = [DORA, BARE, ODD]
    file = parse_cards(build(cards))
    assert seen(file) == [(str(card.address), card.name, card.email) for card in cards]
    assert (file.faults, file.without_address) == ([], 0)
    assert [(card.trusted, card.source) for card in file.cards] == [(False, "")] * 3, "a file makes nobody trusted"


@pytest.mark.spec("CARD-1")
def test_a_jscontact_card_is_as_its_registration_says() -> None:
    first, second, third = json.loads(build_jscontact([DORA, BARE, ODD]))
    assert first == {
        "@type": "Card",
        "version": "1.0",
        "uid": first["uid"],
        "created": "2023-11-14T22:13:20Z",
        "name": {"full": "Dora Müller"},
        "emails": {"email": {"address": "d@away.example"}},
        "ietf.org:ocmAddresses": {
            "ocm": {"@type": "ocmAddress", "address": "dora@away.example", "trusted": True, "source": "invite"}
        },
    }
    assert second["ietf.org:ocmAddresses"]["ocm"]["source"] == "direct entry"
    assert {"name", "emails"} & set(second) == set()
    assert len({first["uid"], second["uid"], third["uid"]}) == 3
    assert first["uid"] == json.loads(build_jscontact([DORA]))[0]["uid"]


def test_a_vcard_keeps_the_rules_of_its_lines() -> None:
    written = build_vcards([ODD, DORA])
    lines = written.split(b"\r\n")
    assert max(map(len, lines)) == 75
    for line in lines:
        line.decode()  # no character is cut
    assert b"EMAIL;TYPE=INTERNET:d@away.example" in lines
    assert b"N:M\xc3\xbcller;Dora;;;" in lines
    assert b"EMAIL:d@away.example" in build_vcards([DORA], version="4.0").split(b"\r\n")


@given(st.text(max_size=60), st.from_regex(r"[a-zA-Z0-9,;:\\ü]{1,40}", fullmatch=True))
def test_every_name_that_may_be_kept_comes_back(name: str, identifier: str) -> None:
    card = Card(OCMAddress(identifier, "away.example"), " ".join(c for c in name.split() if c.isprintable()), "")
    for written in (build_jscontact([card]), build_vcards([card])):
        (read,) = parse_cards(written).cards
        assert (read.address, read.name) == (card.address, card.name)


@pytest.mark.parametrize("identifier", ["x" * 300, "two  spaces"])
def test_an_address_that_stands_for_a_name_is_none(identifier: str) -> None:
    card = Card(OCMAddress(identifier, "away.example"), "", "")
    for version in ("3.0", "4.0"):
        (read,) = parse_cards(build_vcards([card], version=version)).cards
        assert (read.address, read.name) == (card.address, "")


# ---------------------------------------------------------------- address books that people have
NEXTCLOUD = """BEGIN:VCARD
VERSION:4.0
PRODID:-//Nextcloud Contacts v7.0.1
UID:6a4f
FN:Dora Müller
N:Müller;Dora;;;
EMAIL;TYPE=HOME:d@away.example
CLOUD;TYPE=HOME:dora@https://away.example/
PHOTO;ENCODING=b;TYPE=JPEG:aGFs
 bG8=
END:VCARD
"""
APPLE = """BEGIN:VCARD\r
VERSION:3.0\r
PRODID:-//Apple Inc.//macOS 14//EN\r
N:Curie;Marie;;;\r
FN:\r
item1.EMAIL;type=INTERNET;type=pref:m@away.example\r
item2.URL;type=pref:marie@away.example\r
item2.X-ABLabel:Federated Cloud ID\r
item3.URL:https\\://example.org\r
item3.X-ABLabel:_$!<HomePage>!$_\r
END:VCARD\r
"""
GOOGLE = """BEGIN:VCARD
VERSION:3.0
FN:Ada
item1.X-ABLabel:OCM Address
item1.X-CUSTOM:ada@away.example
CATEGORIES:myContacts
END:VCARD
"""
THUNDERBIRD = """BEGIN:VCARD
VERSION:4.0
N:;;;;
NICKNAME:Em\\, my \\; friend
X-CUSTOM1;VALUE=TEXT:ocm:emmy@away.example
X-CUSTOM2;VALUE=TEXT:birthday
IMPP;PREF=1:xmpp:e@away.example
END:VCARD
"""
OUTLOOK = """BEGIN:VCARD
VERSION:2.1
FN;CHARSET=ISO-8859-1;ENCODING=QUOTED-PRINTABLE:J=FCrgen =
M=FCller
IMPP;X-SERVICE-TYPE=OCM:j@away.example
AGENT;CHARSET=none-such;QUOTED-PRINTABLE:x=3Dy
this is no line
END:VCARD
"""


@pytest.mark.parametrize(
    ("book", "found"),
    [
        (NEXTCLOUD, ("dora@away.example", "Dora Müller", "d@away.example")),
        (APPLE, ("marie@away.example", "Marie Curie", "m@away.example")),
        (GOOGLE, ("ada@away.example", "Ada", "")),
        (THUNDERBIRD, ("emmy@away.example", "Em, my ; friend", "")),
        (OUTLOOK, ("j@away.example", "Jürgen Müller", "")),
    ],
    ids=["Nextcloud", "Apple", "Google", "Thunderbird", "Outlook"],
)
def test_address_books_that_people_have(book: str, found: tuple[str, str, str]) -> None:
    for data in (book.encode(), b"\xef\xbb\xbf" + book.encode(), book.encode("utf-16"), b"\n" + book.encode()):
        file = parse_cards(data)
        assert (seen(file), file.faults) == ([found], [])


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ({"full": "Dora"}, "Dora"),
        (
            {"components": [{"kind": "given", "value": "Dora"}, {"kind": "separator", "value": " "}, {"value": "M."}, 7]},
            "Dora M.",
        ),
        ({"components": 7}, ""),
        ("Dora", ""),
        (None, ""),
    ],
)
def test_names_of_jscontact(name: object, read: str) -> None:
    card = {"@type": "Card", "name": name, "ietf.org:ocmAddresses": {"a": {"address": "d@away.example"}}}
    assert seen(parse_cards(json.dumps(card).encode())) == [("d@away.example", read, "")]


def test_one_person_may_have_several_addresses_or_none() -> None:
    addresses = {
        "work": {"address": "d@away.example"},
        "old": {"address": "d@old.example"},
        "twice": {"address": "d@away.example"},
    }
    cards = [{"ietf.org:ocmAddresses": addresses, "emails": {"a": {}, "b": {"address": "x@y"}}}, {"emails": {}}, {"name": {}}]
    file = parse_cards(json.dumps(cards).encode())
    assert [(str(card.address), card.email, card.number) for card in file.cards] == [
        ("d@away.example", "x@y", 1),
        ("d@old.example", "x@y", 1),
    ]
    assert (file.without_address, file.faults) == (2, [])


# ---------------------------------------------------------------- what is wrong
@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"{", b'{"a": 1', b"[" * 100_000, b"\xff\xfe\x00", b"BEGIN:VCARD\xff\n", b"[1" + b"0" * 5000 + b"]"],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_no_address_book(data: bytes) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_cards(data)
    assert (refusal.value.code, bool(refusal.value.hint)) == ("cards-invalid", True)


@pytest.mark.parametrize(
    "data",
    [
        b"[" + b"{}," * 500_000 + b"{}]",
        b"[" + b"{}," * 100_000 + b"{}]",
        b"BEGIN:VCARD\n" + b"\n" * 1_000_001 + b"END:VCARD\n",
        b"BEGIN:VCARD\n" + b"CLOUD:a@b\n" * 1 + b"".join(b"CLOUD:a%d@b.c\n" % n for n in range(20_001)) + b"END:VCARD\n",
        b"BEGIN:VCARD\n" + b"".join(b"CLOUD:%d\n" % n for n in range(20_001)) + b"END:VCARD\n",
    ],
    ids=["values", "entries", "lines", "addresses", "faults"],
)
def test_a_file_of_very_many_small_parts_is_given_up_early(data: bytes) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_cards(data)
    assert refusal.value.code == "cards-too-large"


def test_a_head_without_end_and_odd_character_sets_cost_nothing() -> None:
    head = b"A;" + b'"a"' * 1_000_000
    odd = b"".join(
        b"NOTE;CHARSET=%s;ENCODING=QUOTED-PRINTABLE:%s\n" % (name, b"a" * 300_000)
        for name in (b"punycode", b"idna", b"undefined", b"ISO-8859-99")
    )
    file = parse_cards(b"BEGIN:VCARD\n" + head + b"\n" + odd + b"FN:Dora\nCLOUD:dora@away.example\nEND:VCARD\n")
    assert [(card.name, str(card.address)) for card in file.cards] == [("Dora", "dora@away.example")]


@pytest.mark.parametrize(
    "data",
    [b"[" * (LARGEST_FILE + 1), b"BEGIN:VCARD\n" + b"".join(b"CLOUD:d%d@a.example\n" % n for n in range(20_001)) + b"END:VCARD"],
    ids=["bytes", "addresses"],
)
def test_a_file_that_is_too_large_is_not_read(data: bytes) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_cards(data)
    assert refusal.value.code == "cards-too-large"


def test_each_bad_entry_is_named_and_the_others_are_read() -> None:
    def at(address: object) -> dict[str, object]:
        return {"a": {"address": address}}

    cards: list[object] = [
        7,
        {"@type": "CardGroup"},
        {"ietf.org:ocmAddresses": []},
        {"ietf.org:ocmAddresses": {"a": "x@y"}},
        {"ietf.org:ocmAddresses": at(7)},
        {"ietf.org:ocmAddresses": at("no address"), "name": {"full": "No\u202eOne"}},
        {"ietf.org:ocmAddresses": at("x@no host")},
        {"ietf.org:ocmAddresses": at("a\u202eb@away.example")},
        {"ietf.org:ocmAddresses": at("a\x07b@away.example")},
        {"ietf.org:ocmAddresses": at("long@away.example"), "name": {"full": "x" * 256}},
        {"ietf.org:ocmAddresses": at("bell@away.example"), "name": {"full": "a\x07\u202e"}},
        {"ietf.org:ocmAddresses": at("mail@away.example"), "emails": {"a": {"address": "a\x1b"}}},
        {"emails": 7},
        {"ietf.org:ocmAddresses": at("good@away.example"), "name": {"full": " a\tb\nc \u202e<b>\u200d"}},
    ]
    file = parse_jscontact(json.dumps(cards))
    assert seen(file) == [("good@away.example", "a b c <b>", "")]
    codes = [
        *["card-invalid"] * 5, "address-invalid", "host-invalid", "address-invalid", "address-invalid",
        *["contact-invalid"] * 3, "card-invalid",
    ]  # fmt: skip
    assert fault_codes(file) == list(enumerate(codes, start=1))
    assert all(fault.who.isprintable() and len(fault.who) <= 100 for fault in file.faults)
    assert [fault.who for fault in file.faults if fault.number in (6, 11)] == ["NoOne", "a\ufffd\ufffd"]


def test_a_vcard_without_an_end_is_named() -> None:
    good = "BEGIN:VCARD\nCLOUD:b@away.example\nEND:VCARD\n"
    file = parse_vcards(f"BEGIN:VCARD\nCLOUD:a@away.example\n{good}END:VCARD\nBEGIN:VCARD\nCLOUD:c@away.example")
    assert (seen(file), fault_codes(file)) == ([("b@away.example", "", "")], [(1, "card-invalid"), (3, "card-invalid")])


def test_faults_are_counted_and_not_all_kept() -> None:
    file = parse_cards(json.dumps([7] * 1000).encode())
    assert (file.faulty, len(file.faults)) == (1000, KEPT_FAULTS)


def test_an_address_with_invisible_characters_is_refused() -> None:
    assert visible(DORA.address) == DORA.address
    with pytest.raises(InvalidInput):
        visible(OCMAddress("a\u200bb", "away.example"))


@pytest.mark.parametrize(
    "data",
    [
        b"BEGIN:VCARD\nX" + b';"' * 500_000 + b"\nEND:VCARD",
        b"BEGIN:VCARD\nX;" + b"a" * 5_000_000 + b"\nEND:VCARD",
        b"BEGIN:VCARD\nFN;QUOTED-PRINTABLE:" + b"a=\n" * 900_000 + b"\nEND:VCARD",
        b"BEGIN:VCARD\nN:" + b"\\;" * 500_000 + b"\nEND:VCARD",
        b"BEGIN:VCARD\n" * 100_000,
    ],
    ids=["quotes", "parameters", "soft breaks", "escapes", "beginnings"],
)
def test_hostile_files_take_no_long_time(data: bytes) -> None:
    began = time.process_time()
    parse_cards(data)
    assert time.process_time() - began < 20


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "latin-1", "cp1251"])
def test_a_vcard_is_read_as_it_is_written_where_that_can_be_known(encoding: str) -> None:
    name = "\u0414\u043e\u0440\u0430" if encoding == "cp1251" else "Dora M\u00fcller"
    named = {"latin-1": "ISO-8859-1", "cp1251": "windows-1251"}.get(encoding, "")
    charset = f";CHARSET={named}" if named else ""
    card = f"BEGIN:VCARD\r\nVERSION:2.1\r\nFN{charset}:{name[:-2]}\r\n {name[-2:]}\r\nX-CLOUD:dora@a.example\r\nEND:VCARD\r\n"
    assert [one.name for one in parse_cards(card.encode(encoding)).cards] == [name]
    if named:
        with pytest.raises(InvalidInput) as refusal:
            parse_cards(card.replace(charset, "").encode(encoding))
        assert (refusal.value.code, "line 3" in refusal.value.sentence, "UTF-8" in refusal.value.hint) == (
            "cards-invalid",
            True,
            True,
        )
