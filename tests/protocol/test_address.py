"""OCM Addresses and hosts, read strictly."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from opencloudmesh.protocol.address import OCMAddress, host_of_url, parse_address, parse_host
from opencloudmesh.protocol.errors import InvalidInput


@pytest.mark.spec("ADDR-1")
@pytest.mark.parametrize(
    ("text", "identifier", "host"),
    [
        ("marie@cloud.example.org", "marie", "cloud.example.org"),
        ("marie@home.example@cloud.example.org", "marie@home.example", "cloud.example.org"),
        ("a@b@c@h.example:8443", "a@b@c", "h.example:8443"),
        ("@@h.example", "@", "h.example"),
    ],
)
def test_the_last_at_separates_identifier_and_host(text: str, identifier: str, host: str) -> None:
    assert parse_address(text) == OCMAddress(identifier, host)


@pytest.mark.spec("ADDR-2")
@pytest.mark.parametrize(
    "identifier", ["Marie", "MARIE", "mar\u00efe", "mari\u0308e", "marie curie", "a/b", "ﷺ", " x ", "a:b?c#d"]
)
def test_the_identifier_is_kept_as_it_is(identifier: str) -> None:
    assert parse_address(f"{identifier}@h.example").identifier == identifier
    assert str(parse_address(f"{identifier}@H.example")) == f"{identifier}@h.example"


@pytest.mark.spec("ADDR-3")
@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Cloud.Example.ORG", "cloud.example.org"),
        ("cloud.example.org.", "cloud.example.org"),
        ("localhost", "localhost"),
        ("nextcloud_1.docker", "nextcloud_1.docker"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:DB8:0::1]", "[2001:db8::1]"),
        ("[::1]:8443", "[::1]:8443"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("MÜNCHEN.example", "xn--mnchen-3ya.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("cloud。example", "cloud.example"),
        ("1and1.example", "1and1.example"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
        (f"{'a.' * 126}a", f"{'a.' * 126}a"),
    ],
)
def test_hosts_have_one_canonical_form(text: str, host: str) -> None:
    assert parse_host(text) == host
    assert parse_host(host) == host


@pytest.mark.spec("ADDR-5")
@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("h.example:8443", "h.example:8443"),
        ("h.example:443", "h.example"),
        ("h.example:0080", "h.example:80"),
        ("[::1]:443", "[::1]"),
    ],
)
def test_a_port_is_kept_unless_it_is_443(text: str, host: str) -> None:
    assert parse_host(text) == host


@pytest.mark.spec("ADDR-3", "ADDR-4")
@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a..b",
        "-a.example",
        "a-.example",
        "a" * 64 + ".example",
        f"{'a.' * 126}aa",
        "h.example/path",
        "https://h.example",
        "u@h.example",
        "h example",
        "h\0.example",
        "h.example\n",
        "h.example:",
        "h.example:0",
        "h.example:65536",
        "h.example:port",
        "h.example:٤٤٣",
        "h.example:1:2",
        "127.1",
        "0x7f.1",
        "127.0.0.0x1",
        "256.0.0.1",
        "01.2.3.4",
        "2130706433",
        "::1",
        "[::1",
        "[::g]",
        "[fe80::1%eth0]",
        "[1.2.3.4]",
        "[::1]x",
        "[v1.x]",
        "ex\u00adample\u200b.org\u2028",
        "\ud800.example",
        "xn--\u00e4.example",
    ],
)
def test_bad_hosts_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_host(text)
    assert caught.value.code == "host-invalid"


@pytest.mark.spec("ADDR-4")
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("marie", "address-invalid"),
        ("@h.example", "address-invalid"),
        ("", "address-invalid"),
        ("https://marie@h.example", "address-invalid"),
        ("marie@https://h.example@h.example", "address-invalid"),
        ("mar\0ie@h.example", "address-invalid"),
        ("mar\nie@h.example", "address-invalid"),
        ("mar\x85ie@h.example", "address-invalid"),
        ("x" * 1020 + "@h.example", "address-invalid"),
        ("marie@", "host-invalid"),
        ("marie@https://h.example", "host-invalid"),
        ("marie@h.example/", "host-invalid"),
        ("marie@h.example/index.php", "host-invalid"),
    ],
)
def test_bad_addresses_are_refused(text: str, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_address(text)
    assert caught.value.code == code
    assert caught.value.hint


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://H.example/ocm", "h.example"),
        ("https://h.example:443", "h.example"),
        ("https://h.example:8443/x?y#z", "h.example:8443"),
        ("HTTPS://[::1]", "[::1]"),
        ("http://h.example/", "h.example:80"),
        ("http://[::1]", "[::1]:80"),
        ("http://[::1]:8001/", "[::1]:8001"),
        ("http://127.0.0.1:8001", "127.0.0.1:8001"),
        ("https://h.example?x@y", "h.example"),
    ],
)
def test_the_host_of_a_url(url: str, host: str) -> None:
    assert host_of_url(url) == host


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h.example",
        "ftp://h.example",
        "https://",
        "https:///x",
        "https://u:p@h.example",
        "https://h.example\\x",
        "https://h\t.example",
    ],
)
def test_what_is_no_web_url_has_no_host(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        host_of_url(url)
    assert caught.value.code == "host-invalid"


ANY_TEXT = st.text(st.characters(exclude_categories=()))
NEAR_HOSTS = st.text(st.sampled_from(list("aZ0.-_:@[]%/x\u00e4\u3002\u200d\u0130"))) | ANY_TEXT


@given(NEAR_HOSTS)
@example("xn--")
@example("\u0130.example")
@example("[" * 5)
def test_any_text_is_a_host_or_our_error(text: str) -> None:
    try:
        host = parse_host(text)
    except InvalidInput:
        return
    assert parse_host(host) == host
    assert host.isascii()


@given(NEAR_HOSTS)
def test_any_text_is_a_url_or_our_error(text: str) -> None:
    try:
        assert host_of_url("https://" + text) == parse_host(text.partition("/")[0].partition("?")[0].partition("#")[0])
    except InvalidInput:
        return


@given(ANY_TEXT, NEAR_HOSTS)
def test_any_text_is_an_address_or_our_error(identifier: str, host: str) -> None:
    try:
        address = parse_address(f"{identifier}@{host}")
    except InvalidInput:
        return
    assert parse_address(str(address)) == address


def test_a_host_of_any_length_is_not_looked_at() -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_host("a" * 1025)
    assert refused.value.code == "host-invalid"
