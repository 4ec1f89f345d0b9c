"""Where a request comes from: what a client writes is believed of nobody but a trusted proxy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from opencloudmesh.web.source_address import FORWARDED, SourceAddresses

PROXIES = ["10.0.0.0/8", "2001:db8:9::/48"]


def found(client: str | None, *values: str, proxies: list[str] | None = None, header: str = "x-forwarded-for") -> str:
    addresses = SourceAddresses(PROXIES if proxies is None else proxies, header)
    return addresses.caller(scope(client, *values, header=header)).address


def scope(client: str | None, *values: str, header: str = "x-forwarded-for") -> dict[str, object]:
    headers = [(header.encode(), value.encode("latin-1")) for value in values]
    return {"client": (client, 1) if client else None, "headers": [(b"host", b"x"), *headers]}


@pytest.mark.parametrize(
    ("client", "values", "address"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),
        ("10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["6.6.6.6, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ("10.1.2.3", ["10.7.7.7, 10.9.9.9"], "10.7.7.7"),
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", [""], "10.1.2.3"),
        ("10.1.2.3", ["6.6.6.6, unknown"], "10.1.2.3"),
        ("10.1.2.3", ["6.6.6.6, _hidden, 10.9.9.9"], "10.9.9.9"),
        ("10.1.2.3", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.1.2.3", ["[2001:db8:1:2:3:4:5:6]:4711"], "2001:db8:1:2::/64"),
        ("10.1.2.3", ["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        ("2001:db8:9::5", ["198.51.100.1"], "198.51.100.1"),
        ("::ffff:10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        ("::ffff:203.0.113.7", [], "203.0.113.7"),
        ("fe80::1%eth0", [], "fe80::/64"),
        (None, [], "unix"),
        (None, ["198.51.100.1"], "unix"),
        ("10.1.2.3", ["6.6.6.6, " * 9000 + "198.51.100.1"], "198.51.100.1"),
    ],
)
def test_the_rightmost_hop_that_is_no_proxy_of_ours(client: str | None, values: list[str], address: str) -> None:
    assert found(client, *values) == address


def test_a_socket_of_this_machine_is_a_proxy_where_it_is_named() -> None:
    assert found(None, "6.6.6.6, 198.51.100.1", proxies=["unix"]) == "198.51.100.1"


def test_without_proxies_no_header_is_read() -> None:
    assert found("127.0.0.1", "198.51.100.1", proxies=[]) == "127.0.0.1"


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("for=198.51.100.1", "198.51.100.1"),
        ("for=6.6.6.6, for=198.51.100.1;proto=https;by=10.1.1.1", "198.51.100.1"),
        ('proto=https; For="[2001:db8:1:2::9]:4711"', "2001:db8:1:2::/64"),
        ("for=6.6.6.6, for=unknown", "10.1.2.3"),
        ("for=6.6.6.6, proto=https", "10.1.2.3"),
        ("host=for=6.6.6.6", "10.1.2.3"),
    ],
)
def test_the_header_of_rfc_7239(value: str, address: str) -> None:
    assert found("10.1.2.3", value, header=FORWARDED) == address
    assert found("203.0.113.7", value, header=FORWARDED) == "203.0.113.7"


def test_only_the_header_that_is_named_is_read() -> None:
    addresses = SourceAddresses(PROXIES, FORWARDED)
    assert addresses.caller(scope("10.1.2.3", "6.6.6.6")).address == "10.1.2.3"


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("203.0.113.7", "203.0.113.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        (None, "unix"),
        ("not an address", "not an address"),
    ],
)
def test_the_network_around_it(client: str | None, network: str) -> None:
    assert SourceAddresses().caller(scope(client)).network == network


@given(client=st.one_of(st.ip_addresses().map(str), st.text(max_size=40)), value=st.text(st.characters(max_codepoint=255)))
def test_whatever_is_written_there_is_somebody(client: str, value: str) -> None:
    for header in ("x-forwarded-for", FORWARDED):
        assert isinstance(found(client, value, header=header, proxies=["0.0.0.0/0", "::/0"]), str)


def test_what_is_remembered_is_bounded() -> None:
    addresses = SourceAddresses(["10.0.0.0/8"])
    for number in range(6000):
        addresses.caller(scope("10.0.0.1", f"198.51.{number // 250}.{number % 250}"))
    info = addresses._found.cache_info()  # type: ignore[attr-defined]
    assert info.currsize <= 4096


# ---------------------------------------------------------------- a proxy that nobody named
def warned(addresses: SourceAddresses, client: str | None, number: int, *values: str) -> int:
    with capture_logs() as lines:
        for _ in range(number):
            addresses.caller(scope(client, *values))
    return len([line for line in lines if line["event"] == "proxy-not-trusted"])


@pytest.mark.parametrize("client", ["127.0.0.1", "172.17.0.1", "::1", None])
def test_a_proxy_that_nobody_named_is_noticed_once(client: str | None) -> None:
    addresses = SourceAddresses()
    assert warned(addresses, client, 99, "198.51.100.1") == 0
    assert warned(addresses, client, 900, "198.51.100.1") == 1
    assert warned(addresses, client, 900, "198.51.100.1") == 0


def test_what_strangers_write_warns_nobody() -> None:
    assert warned(SourceAddresses(), "8.8.8.8", 500, "198.51.100.1") == 0
    assert warned(SourceAddresses(), "127.0.0.1", 500) == 0
    assert warned(SourceAddresses(["127.0.0.1/32"]), "127.0.0.1", 500, "198.51.100.1") == 0
