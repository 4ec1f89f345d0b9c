"""Where no server of ours may be led: hosts and URLs that a stranger, or a user, may name."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """`host` as it stands in an address or a keyid, `url` as it stands in a document."""

    why: str
    host: str
    url: str
    public: frozenset[str] = frozenset()
    """Of the addresses of its name, those that a socket may be made for, with TLS."""


def _host(why: str, host: str, *public: str) -> Place:
    return Place(why, host, f"https://{host}/secret", frozenset(public))


def _url(why: str, url: str) -> Place:
    return Place(why, url, url)


_NAMES: dict[str, list[list[str]]] = {
    # name -> the answers to the first, second, ... question; the last one stays
    "private.test": [["10.1.2.3"]],
    "loopback.test": [["127.0.0.1"]],
    "loopback6.test": [["::1"]],
    "metadata.test": [["169.254.169.254"]],
    "mixed.test": [["93.184.216.40", "192.168.1.1"]],
    "mixed-first.test": [["192.168.1.1", "93.184.216.40"]],
    "rebinding.test": [["93.184.216.41"], ["127.0.0.1"]],
    "plain.test": [["93.184.216.42"]],
    "localhost": [["127.0.0.1", "::1"]],
    "ip6-localhost": [["::1"]],
    "mapped.test": [["::ffff:127.0.0.1"]],
}

PLACES: tuple[Place, ...] = (
    # IPv4, as it should be written
    _host("loopback", "127.0.0.1"),
    _host("loopback, another", "127.255.255.254"),
    _host("loopback with a port", "127.0.0.1:8080"),
    _host("this host", "0.0.0.0"),  # noqa: S104 - not bound to
    _host("this network", "0.1.2.3"),
    _host("private 10", "10.0.0.1"),
    _host("private 172.16", "172.16.0.1"),
    _host("private 172.31", "172.31.255.254"),
    _host("private 192.168", "192.168.0.1"),
    _host("metadata of clouds", "169.254.169.254"),
    _host("link-local", "169.254.1.1"),
    _host("carrier-grade NAT", "100.64.0.1"),
    _host("protocol assignments", "192.0.0.8"),
    _host("documentation", "192.0.2.1"),
    _host("benchmarks", "198.18.0.1"),
    _host("multicast", "224.0.0.1"),
    _host("reserved", "240.0.0.1"),
    _host("broadcast", "255.255.255.255"),
    # IPv4, as old resolvers take it
    _host("decimal", "2130706433"),
    _host("octal", "0177.0.0.1"),
    _host("octal, long", "0000177.0.0.01"),
    _host("hexadecimal", "0x7f000001"),
    _host("hexadecimal parts", "0x7f.0x0.0x0.0x1"),
    _host("two parts", "127.1"),
    _host("three parts", "127.0.1"),
    _host("one zero", "0"),
    _host("metadata in decimal", "2852039166"),
    _host("trailing dot", "127.0.0.1."),
    # IPv6
    _host("IPv6 loopback", "[::1]"),
    _host("IPv6 loopback with a port", "[::1]:8443"),
    _host("IPv6 unspecified", "[::]"),
    _host("IPv4-mapped", "[::ffff:127.0.0.1]"),
    _host("IPv4-mapped, hexadecimal", "[::ffff:7f00:1]"),
    _host("IPv4-compatible", "[::127.0.0.1]"),
    _host("NAT64 of loopback", "[64:ff9b::7f00:1]"),
    _host("NAT64 of metadata", "[64:ff9b::a9fe:a9fe]"),
    _host("local NAT64", "[64:ff9b:1::7f00:1]"),
    _host("6to4 of loopback", "[2002:7f00:1::]"),
    _host("Teredo", "[2001:0:7f00:1::]"),
    _host("unique local", "[fc00::1]"),
    _host("metadata of EC2", "[fd00:ec2::254]"),
    _host("IPv6 link-local", "[fe80::1]"),
    _host("IPv6 link-local with zone", "[fe80::1%25lo]"),
    _host("IPv6 link-local with bare zone", "[fe80::1%lo]"),
    _host("site-local", "[fec0::1]"),
    _host("IPv6 multicast", "[ff02::1]"),
    _host("IPv6 documentation", "[2001:db8::1]"),
    _host("discard-only", "[100::1]"),
    # names
    _host("localhost", "localhost"),
    _host("localhost with a dot", "localhost."),
    _host("LOCALHOST", "LOCALHOST"),
    _host("ip6-localhost", "ip6-localhost"),
    _host("name of a private address", "private.test"),
    _host("name of loopback", "loopback.test"),
    _host("name of IPv6 loopback", "loopback6.test"),
    _host("name of a mapped address", "mapped.test"),
    _host("name of metadata", "metadata.test"),
    _host("name of public and private", "mixed.test", "93.184.216.40"),
    _host("name of private and public", "mixed-first.test", "93.184.216.40"),
    _host("name that is rebound", "rebinding.test", "93.184.216.41"),
    # other writing
    _host("full-width digits", "\uff11\uff12\uff17.0.0.1"),
    _host("full-width dots", "127\uff0e0\uff0e0\uff0e1"),
    _host("ideographic dots", "127\u30020\u30020\u30021"),
    _host("circled digits", "\u2460\u2461\u2466.0.0.1"),
    _host("full-width localhost", "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54"),
    _host("escaped dots", "127%2e0%2e0%2e1"),
    _host("user name", "peer.peers.example@127.0.0.1"),
    _host("user name and password", "a:b@127.0.0.1"),
    _host("backslash", "127.0.0.1\\@peer.peers.example"),
    _host("backslash after a user name", "peer.peers.example\\@127.0.0.1"),
    _host("fragment", "127.0.0.1#@peer.peers.example"),
    _host("question mark", "127.0.0.1?@peer.peers.example"),
    _host("control character", "127.0.0.1\r\nhost: peer.peers.example"),
    _host("NUL", "127.0.0.1\0.peers.example"),
    _host("space", " 127.0.0.1"),
    _host("port zero", "127.0.0.1:0"),
    _host("port too high", "127.0.0.1:65537"),
    _host("redis", "127.0.0.1:6379"),
    # other schemes
    Place("http without TLS", "http://plain.test/secret", "http://plain.test/secret", frozenset({"93.184.216.42"})),
    _url("http to loopback", "http://127.0.0.1/secret"),
    _url("http to metadata", "http://169.254.169.254/latest/meta-data/"),
    _url("file", "file:///etc/passwd"),
    _url("file of a host", "file://127.0.0.1/etc/passwd"),
    _url("gopher", "gopher://127.0.0.1:6379/_FLUSHALL"),
    _url("ftp", "ftp://127.0.0.1/secret"),
    _url("data", "data:application/json,{}"),
    _url("ws", "ws://127.0.0.1/secret"),
    _url("unix", "unix:///run/docker.sock"),
    _url("no scheme", "//127.0.0.1/secret"),
)


class Names:
    """What the name servers of that world say; each name may have told something else before."""

    def __init__(self) -> None:
        self._asked: dict[str, int] = {}

    def addresses(self, name: str) -> list[str]:
        """The answer to the next question for this name; empty where there is none."""
        answers = _NAMES.get(name.lower().rstrip("."))
        if answers is None:
            return []
        turn = self._asked.get(name, 0)
        self._asked[name] = turn + 1
        return answers[min(turn, len(answers) - 1)]
