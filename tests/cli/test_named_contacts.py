"""People are named, and shown by their names: `ocm share|request|contacts` with a contact's name, and the lists."""

from typing import Any

import pytest


def contact(number: int, name: str, address: str, **fields: Any) -> dict[str, Any]:
    more = {"email": "", "source": "invite", "trusted": False, "verified": True, "added_at": 1e9, "last_seen_at": None}
    return {"id": number, "name": name, "address": address} | more | fields


BOB = contact(1, "Bob", "a1b2c3@b.example.org")
OTHER_BOB = contact(2, "bob ", "d4e5f6@c.example.org")
FALSE_BOB = contact(3, "Bob", "mallory@evil.example", source="share")


def test_a_contact_is_shared_with_by_name(logged_in: Any, server: Any) -> None:
    server.contacts = [BOB, FALSE_BOB, contact(4, "Bobby", "bobby@b.example.org")]
    result = logged_in("share", "Reports", "bob")
    assert (result.status, server.bodies[-1]["share_with"]) == (0, "a1b2c3@b.example.org")
    assert "Reports with bob <" in result.out


def test_of_several_of_the_name_none_is_chosen(logged_in: Any, server: Any) -> None:
    server.contacts = [BOB, OTHER_BOB]
    result = logged_in("share", "Reports", "Bob")
    assert (result.status, server.bodies) == (1, [])
    assert "recipient-ambiguous" in result.err
    assert "1: Bob <a1b2c3@b.example.org>\n  2: bob  <d4e5f6@c.example.org>" in result.err
    server.contacts = [contact(number, "Bob", f"bob{number}@b.example.org") for number in range(1, 15)]
    assert "and 4 more" in logged_in("share", "Reports", "Bob").err


@pytest.mark.parametrize("word", ["Bob", "Dora", "", "x" * 300, "a\x1bb"])
def test_a_name_that_stands_for_nobody_is_refused_here(logged_in: Any, server: Any, word: str) -> None:
    server.contacts = [FALSE_BOB]
    result = logged_in("share", "Reports", word)
    assert (result.status, server.bodies) == (1, [])
    assert "contact-unknown" in result.err
    assert "\x1b" not in result.err


def test_a_trusted_sender_may_be_named(logged_in: Any, server: Any) -> None:
    server.contacts = [FALSE_BOB | {"trusted": True}]
    assert logged_in("share", "Reports", "Bob").status == 0


def test_a_contact_is_shown_by_id_address_or_name(logged_in: Any, server: Any) -> None:
    server.contacts = [BOB, FALSE_BOB | {"name": "Mallory"}]
    for word in ("1", "A1b2c3@b.example.org", "bob"):
        assert logged_in("contacts", "show", word).out.startswith("Bob <a1b2c3@b.example.org>\n")
    assert logged_in("contacts", "show", "mallory").status == 0, "a name is enough to look somebody up"
    server.contacts.append(OTHER_BOB)
    assert "contact-ambiguous" in logged_in("contacts", "show", "Bob").err
    assert "contact-unknown" in logged_in("contacts", "show", "x@b.example.org").err


def test_an_address_means_who_has_it_letter_by_letter_and_by_any_of_the_addresses(logged_in: Any, server: Any) -> None:
    server.contacts = [
        contact(1, "Big", "Bob@b.example.org"),
        contact(2, "Small", "bob@b.example.org", aliases=["x1@b.example.org", "x2@b.example.org"], server="B")
        | {"verified": False, "verified_aliases": ["x2@b.example.org"]},
    ]
    shown = {
        word: logged_in("contacts", "show", word).out for word in ("bob@b.example.org", "Bob@b.example.org", "x1@b.example.org")
    }
    assert [out.partition(" ")[0] for out in shown.values()] == ["Small", "Big", "Small"]
    small = shown["x1@b.example.org"]
    assert "\nServer: B\nAlso: x1@b.example.org\nAlso: x2@b.example.org (verified)\n" in small
    assert "\nIts server has signed nothing of bob@b.example.org yet." in small, "the mark is the address's that signed"


def test_lists_show_names_beside_addresses(logged_in: Any, server: Any, make_outgoing: Any, make_incoming: Any) -> None:
    server.contacts = [BOB]
    server.shares = [make_outgoing(id=1, share_with=BOB["address"]), make_outgoing(id=2, share_with="x@c.example.org")]
    lines = logged_in("shares").out.splitlines()
    assert "Bob <a1b2c3@b.example.org>" in lines[1]
    assert " x@c.example.org" in lines[2]
    server.inbox = [make_incoming(id=1, sender="f00@b.example.org", sender_display_name="Bo\x1bb")]
    assert "Bo\\x1bb <f00@b.example.org>" in logged_in("inbox").out
    assert logged_in("shares", "--json").document["items"][0]["share_with"] == BOB["address"]
