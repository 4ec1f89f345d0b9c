"""The links of mail gateways, as Microsoft, Proofpoint, Barracuda and Cisco write them."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.protocol.rewritten_links import is_of_gateway, unwrap_link

SENT = "https://cloud.example.org/wayf?token=Zx9k-Pq3_LmN8vRt2WyB5cDf&providerDomain=cloud.example.org"
QUOTED = quote(SENT, safe="")
SAFE = f"https://eur01.safelinks.protection.outlook.com/?url={QUOTED}&data=05%7C02%7C&sdata=x%3D&reserved=0"
SECOND = QUOTED.replace("-", "%2D").replace("_", "%5F").replace("%2F", "_").replace("%", "-")
THIRD = f"https://urldefense.com/v3/__{SENT}__;!!Ab-c!xyz$"


@pytest.mark.parametrize(
    "link",
    [
        SAFE,
        SAFE.replace("&", "&amp;"),
        f"https://urldefense.proofpoint.com/v2/url?u={SECOND}&d=DwMF&c=x&r=y",
        THIRD,
        THIRD.replace("https://cloud", "https:/cloud"),
        THIRD.replace("&providerDomain=cloud", "*providerDomain=**Aoud").replace("__;!", "__;JmNs!"),
        f"https://linkprotect.cudasvc.com/url?a={QUOTED}&c=E,1,x",
        f"https://secure-web.cisco.com/1aBc/{QUOTED}",
        f"https://eur01.safelinks.protection.outlook.com/?url={quote(THIRD, safe='')}&data=x",
        f"https://gateway.example/?to={QUOTED}&k=1",
        f"https://gateway.example/?k=1&to={SENT}",
        f"https://gateway.example/?to={quote(SAFE, safe='')}",
    ],
)
def test_the_sent_link_is_found(link: str) -> None:
    assert unwrap_link(link) == SENT


@pytest.mark.parametrize(
    "link",
    [
        SENT,
        f"{SENT}&from={quote('https://away.example/?token=other', safe='')}",
        "https://gateway.example/?to=https%3A%2F%2Faway.example%2F",
        "https://eur01.safelinks.protection.outlook.com/?url=nothing",
        "https://urldefense.com/v3/__https://cloud.example.org/?token=*__;!!abc$",
        "https://urldefense.com/v3/__https://cloud.example.org/?token=*__;abcde!!abc$",
        "https://[cloud/?token=a",
        f"https://gateway.example/?{'a=1&' * 65}to={QUOTED}",
    ],
)
def test_what_holds_no_other_link_stays(link: str) -> None:
    assert unwrap_link(link) == link


def test_links_within_links_are_followed_only_so_far() -> None:
    link = SENT
    for _ in range(5):
        link = f"https://gateway.example/?to={quote(link, safe='')}"
    assert unwrap_link(link) == f"https://gateway.example/?to={QUOTED}"


def test_a_gateway_is_known_by_its_host() -> None:
    assert is_of_gateway("https://protect-eu.mimecast.com/s/abc")
    assert is_of_gateway("https://urldefense.us/v3/__x")
    assert not is_of_gateway("https://urldefense.com.example/v3/")
    assert not is_of_gateway("https://[urldefense.com/")


@given(
    st.text(alphabet="https:/?&=%*_;!-3D2v.token", max_size=60),
    st.sampled_from(["https://urldefense.com/v3/__https://", SAFE, ""]),
)
def test_no_link_is_too_odd(rest: str, begin: str) -> None:
    assert isinstance(unwrap_link(begin + rest), str)
