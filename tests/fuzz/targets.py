"""What is fuzzed: one function of bytes for each thing that strangers write and we read, with the inputs that it begins with.

A target ends, or raises what it may: `OCMError`, which every caller of these functions turns into an answer. Anything else is a
defect, and so is an input that takes seconds. Some targets also hold what was read against what must be true of it.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from opencloudmesh.protocol.address import host_of_url, parse_address, parse_host
from opencloudmesh.protocol.code_flow import parse_token_answer, parse_token_request, refusal_of
from opencloudmesh.protocol.contacts import build_jscontact, build_vcards, parse_cards
from opencloudmesh.protocol.directory_service import parse_directory
from opencloudmesh.protocol.discovery import parse_discovery
from opencloudmesh.protocol.errors import InvalidInput, OCMError, SignatureRefused
from opencloudmesh.protocol.http_signatures import DRAFT_05, DRAFT_07, Request, host_of_keyid, read_signature, verify
from opencloudmesh.protocol.jwks import ALGORITHMS, parse_key_set
from opencloudmesh.protocol.legacy.addresses import repair_address
from opencloudmesh.protocol.legacy.cavage import outgoing_scheme, parse_public_key, read_cavage, verify_cavage
from opencloudmesh.protocol.notifications import parse_notification
from opencloudmesh.protocol.redaction import Body, Wire, redact
from opencloudmesh.protocol.share_creation import parse_share_creation, parse_share_creation_answer
from opencloudmesh.protocol.share_request import parse_share_request, path_of
from opencloudmesh.protocol.trace_context import is_trace_id, parse_traceparent
from opencloudmesh.services.ports import Entry
from opencloudmesh.services.resource_access.credentials import parse_authorization
from opencloudmesh.web.source_address import SourceAddresses
from opencloudmesh.webdav.client_answers import check_changed, entry_of, http_refusal
from opencloudmesh.webdav.conditions import judge, parse_range, range_wanted
from opencloudmesh.webdav.elements import MultistatusReader, parse_error, parse_lockinfo, parse_propertyupdate, parse_propfind
from opencloudmesh.webdav.hrefs import href_names, is_name
from opencloudmesh.webdav.if_header import State, holds, parse_if, tokens_of
from opencloudmesh.webdav.locks import parse_timeout
from opencloudmesh.webdav.properties import change_results, sort_changes
from opencloudmesh.webdav.request import DavRequest, join_path, read_destination, split_path
from tests.fuzz.dav_site import fuzzed_site

VECTORS: Final = Path(__file__).resolve().parent.parent / "vectors"
CORPUS: Final = Path(__file__).resolve().parent / "corpus"
NOW: Final = 1770000000
CAVAGE_KEYS: Final = parse_public_key(
    parse_discovery(
        b'{"enabled":true,"apiVersion":"1.2","endPoint":"https://sender.example.org/ocm","resourceTypes":[],"publicKey":'
        + (VECTORS / "cavage/publicKey.json").read_bytes()
        + b"}"
    )
)
KEYS: Final = parse_key_set((VECTORS / "signatures/keys.json").read_bytes())


@dataclass(frozen=True)
class Target:
    """One thing that is fuzzed; `run` raises nothing but `OCMError`, `seeds` gives the inputs written by people."""

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]

    @property
    def corpus_file(self) -> Path:
        """Inputs that were found, a JSON string a line, its characters the bytes."""
        return CORPUS / f"{self.name}.jsonl"

    def corpus(self) -> list[bytes]:
        """All inputs, those of people first."""
        found = self.corpus_file.read_text("ascii").splitlines() if self.corpus_file.exists() else []
        return list(dict.fromkeys((*self.seeds(), *(json.loads(line).encode("latin-1") for line in found))))

    def attempt(self, data: bytes) -> str:
        """Run it once: the code of the refusal, or nothing. Whatever else it raises is a defect."""
        try:
            self.run(data)
        except OCMError as refused:
            return refused.code
        return ""


def _texts(*texts: str) -> Callable[[], Iterable[bytes]]:
    return lambda: (text.encode() for text in texts)


def _files(*patterns: str) -> Callable[[], Iterable[bytes]]:
    def read() -> Iterator[bytes]:
        for pattern in patterns:
            for path in sorted(VECTORS.glob(pattern)):
                content = path.read_bytes()
                if len(content) < 10_000:
                    yield content.partition(b"\n")[2] if content.startswith(b"# expected") else content

    return read


def _lines(data: bytes) -> list[str]:
    """Header values, as our HTTP server gives them: Latin-1, without line ends."""
    return data.decode("latin-1").replace("\r", "").split("\n")


def _headers(lines: Iterable[str]) -> tuple[tuple[str, str], ...]:
    pairs = (line.partition(":") for line in lines)
    return tuple((name.lower(), value) for name, _, value in pairs)


# ---------------------------------------------------------------- signatures and keys
def _request(data: bytes) -> Request:
    """A request as the vectors have it: method and target, header lines, an empty line, the body."""
    head, _, body = data.partition(b"\n\n")
    first, *lines = _lines(head)
    method, _, target = first.partition(" ")
    return Request(method, target, _headers(lines), body)


def _signed_request(data: bytes) -> None:
    request = _request(data)
    for profile in (DRAFT_05, DRAFT_07):
        try:
            received = read_signature(request, [profile])
            verified = verify(request, KEYS, now=NOW, profiles=[profile])
        except SignatureRefused as refused:
            json.dumps(refused.diagnostics())  # as the exchange log keeps it
            continue
        assert (verified.keyid, verified.created) == (received.keyid, received.created)
        assert KEYS.get(verified.keyid) is not None
        assert profile.components <= set(received.components)
    verify(request, KEYS, now=NOW)


def _cavage(data: bytes) -> None:
    request = _request(data)
    try:
        received = read_cavage(request)
        verified = verify_cavage(request, CAVAGE_KEYS, now=NOW)
    except SignatureRefused as refused:
        json.dumps(refused.diagnostics())
        raise
    assert verified.keyid == received.keyid
    assert {"(request-target)", "host", "date", "digest", "content-length"} <= set(received.covered)


def _key_set(data: bytes) -> None:
    keys = parse_key_set(data)
    assert len(keys.published) <= len(keys) <= 64
    for key in keys.keys.values():
        for algorithm in ALGORITHMS:
            assert not key.verifies(algorithm, data[:64].ljust(64, b"\0"), b"never signed")


def _keyid(data: bytes) -> None:
    for keyid in (data.decode("latin-1"), data.decode("utf-8", "replace")):
        host = host_of_keyid(keyid)
        assert host is None or parse_host(host) == host, host


def _directory(data: bytes) -> None:
    parse_directory(data, KEYS)


# ---------------------------------------------------------------- names
def _address(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for parse in (parse_host, host_of_url):
        try:
            host = parse(text)
        except InvalidInput:
            continue
        assert parse_host(host) == host, host
    try:
        address = parse_address(text)
    except InvalidInput:
        address = repair_address(text)
    assert parse_address(str(address)) == address, address


# ---------------------------------------------------------------- messages
def _discovery(data: bytes) -> None:
    document = parse_discovery(data)
    parse_public_key(document)
    outgoing_scheme(document, has_key=True)
    document.webdav_path("file")
    document.webdav_receive_uri  # noqa: B018 - what it reads is read from what a peer wrote
    for resource_type in ("file", "folder"):
        document.takes(resource_type, "user")


def _share_creation(data: bytes) -> None:
    message = parse_share_creation(data)
    for address in (message.recipient, message.owner_address, message.sender_address):
        assert parse_address(str(address)) == address
    message.protocol.permissions  # noqa: B018
    message.protocol.requirements  # noqa: B018
    message.protocol.shared_secret  # noqa: B018


def _notification(data: bytes) -> None:
    parse_notification(data)


def _contacts(data: bytes) -> None:
    """What a file holds is there again in a file of ours, in each of its forms."""
    for card in parse_cards(data).cards:
        for written in (build_jscontact([card]), build_vcards([card]), build_vcards([card], version="4.0")):
            (read,) = parse_cards(written).cards
            assert (read.address, read.name, read.email) == (card.address, card.name, card.email), written


def _share_request(data: bytes) -> None:
    message = parse_share_request(data)
    for address in (message.owner_address, message.recipient):
        assert parse_address(str(address)) == address
    path = path_of(message.share, names=("alice",), own_host="a.example")
    if path is not None:
        assert not {"", ".", ".."} & set(path.split("/"))
        assert path.split("/")[0] != "Shared with me"


def _token_request(data: bytes) -> None:
    kind, _, body = data.partition(b"\n")
    parse_token_request(body, kind.decode("latin-1"))


def _answers(data: bytes) -> None:
    refusal_of("a.example", 400, data)
    try:
        parse_token_answer(data)
    except OCMError:
        parse_share_creation_answer(data)


def _exchange(data: bytes) -> None:
    """What the exchange log makes of a request: URL, header lines, an empty line, the body."""
    head, _, body = data.partition(b"\n\n")
    url, *lines = _lines(head)
    found = redact(Wire(url, _headers(lines), Body.of(body), _headers(lines), Body.of(body)), body_bytes=4096, detail=url)
    assert len(found.request_body) <= 4096 + 100
    for text in (found.url, found.request_headers, found.request_body, found.answer_headers, found.answer_body, found.said):
        text.encode()  # a database takes UTF-8 only


# ---------------------------------------------------------------- headers
def _header_values(data: bytes) -> None:
    for value in _lines(data):
        trace_id = parse_traceparent(value)
        assert trace_id is None or is_trace_id(trace_id)
        parse_authorization(value)


def _source_address(data: bytes) -> None:
    lines = [line.encode("latin-1") for line in _lines(data)]
    for name in ("x-forwarded-for", "forwarded"):
        addresses = SourceAddresses(("127.0.0.0/8", "2001:db8::/32", "unix"), name)
        headers = [(name.encode(), line) for line in lines]
        for client in (("127.0.0.1", 1), None):
            caller = addresses.caller({"type": "http", "client": client, "headers": headers})
            assert len(caller.address) < 64


ENTRY: Final = Entry(path="a.txt", is_folder=False, size=1000, modified_at=NOW, etag='"abc"', content_type="text/plain")


def _conditions(data: bytes) -> None:
    """Header lines of a GET or PUT."""
    headers: Mapping[str, str] = {name: value.strip() for name, value in _headers(_lines(data))}
    for entry in (ENTRY, None):
        for reading in (True, False):
            judge(headers, entry, reading=reading, now=ENTRY.modified_at)
    for size in (ENTRY.size, 0, 1 << 62):
        ranges = parse_range(range_wanted(headers, ENTRY), size) or ()
        assert all(part.length > 0 and 0 <= part.start <= part.start + part.length <= size for part in ranges)


async def _no_body() -> Any:
    raise AssertionError


def _paths(data: bytes) -> None:
    """A request target, then a Destination."""
    target, _, destination = data.replace(b"\r", b"").partition(b"\n")
    headers = {"destination": destination.decode("latin-1"), "host": "cloud.example.org"}
    try:
        tree, names = split_path(target, "/dav/files")
        path = join_path(names)
    except OCMError:
        tree, path = "alice", ""
    request = DavRequest("MOVE", headers, "/dav/files", tree, path, False, _no_body, origin="https://cloud.example.org")
    for place in (path, read_destination(request)):
        assert not place or all(is_name(name) for name in place.encode("utf-8", "surrogateescape").split(b"/"))


def _if_header(data: bytes) -> None:
    value = data.decode("latin-1")
    parse_timeout(value)
    lists = parse_if(value)
    tokens = tokens_of(lists)
    holds(lists, {one.tag: State(tokens, '"abc"') for one in lists})


def _dav_request(data: bytes) -> None:
    """A request to the whole WebDAV server, as the vectors have requests."""
    request = _request(data)
    fuzzed_site().ask(request.method, request.target_uri, request.headers, request.body)


# ---------------------------------------------------------------- XML
def _xml_request(data: bytes) -> None:
    for parse in (parse_lockinfo, parse_propfind):
        with suppress(OCMError):
            parse(data)
    updates = parse_propertyupdate(data)
    change_results(updates, sort_changes(updates).refused)


def _multistatus(data: bytes) -> None:
    """A peer's answer, read in pieces."""
    parse_error(data)
    http_refusal(403, {"content-type": "application/xml", "retry-after": data[:20].decode("latin-1")}, data, makes=True)
    reader = MultistatusReader()
    middle = len(data) // 2
    for response in [*reader.feed(data[:middle]), *reader.feed(data[middle:]), *reader.close()]:
        names = href_names(response.href)
        assert names is None or all(map(is_name, names))
        entry_of(response, "a")
        check_changed([response])


_SHARE: Final = json.dumps(
    {
        "shareWith": "bob@cloud.example.org",
        "name": "data",
        "description": "numbers",
        "providerId": "7c084226-d9a1-11e6-bf26-cec0c932ce01",
        "owner": "alice@other.example.org",
        "sender": "alice@other.example.org",
        "ownerDisplayName": "Alice",
        "shareType": "user",
        "resourceType": "folder",
        "expiration": 1900000000,
        "protocol": {
            "name": "multi",
            "options": {"sharedSecret": "hfiuhworzwnur98d3wjiwhr"},
            "webdav": {
                "uri": "abc",
                "sharedSecret": "s" * 32,
                "permissions": ["read", "write"],
                "requirements": ["must-exchange-token"],
            },
            "webapp": {
                "uri": "https://other.example.org/open/{path}",
                "targets": ["blank"],
                "permissions": ["view"],
                "requirements": ["must-exchange-token"],
                "sharedSecret": "t" * 32,
            },
            "ssh": {"uri": "dev@other.example.org:/srv", "accessTypes": ["datatx"]},
        },
    }
)
_NOTIFICATION: Final = (
    '{"notificationType":"SHARE_ACCEPTED","resourceType":"file","providerId":"1",'
    '"notification":{"sharedSecret":"abc","message":"x"}}'
)
_REQUEST: Final = (
    '{"owner":"alice@a.example","shareWith":"bob@b.example","share":"https://a.example/dav/files/alice/a%20b/c.txt"}'
)
_CONTACTS: Final = (
    '[{"@type":"Card","version":"1.0","uid":"u","name":{"full":"Bob, B."},"emails":{"e":{"address":"bob@b.example"}},'
    '"ietf.org:ocmAddresses":{"o":{"address":"bob@cloud.b.example","label":"OCM"}}}]',
    "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Bob\\, B.\r\nN:B.;Bob;;;\r\n"
    "EMAIL;TYPE=work:bob@b.example\r\nCLOUD:bob@cloud.b.example\r\nEND:VCARD\r\n",
    "BEGIN:VCARD\nVERSION:2.1\n"
    "N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:B=C3=B6b;=\n Rob\nitem1.X-OCM:b@b.example\nitem1.X-ABLabel:OCM\nEND:VCARD",
)
_DISCOVERY: Final = json.dumps(
    {
        "enabled": True,
        "apiVersion": "1.2.2",
        "endPoint": "https://cloud.example.org/ocm",
        "provider": "X",
        "resourceTypes": [
            {"name": "file", "shareTypes": ["user"], "protocols": {"webdav": "/dav/", "ssh": "cloud.example.org:22"}}
        ],
        "capabilities": ["http-sig", "exchange-token", "/invite-accepted"],
        "criteria": ["must-exchange-token"],
        "publicKey": {"keyId": "https://cloud.example.org/ocm#signature", "publicKeyPem": "-----BEGIN PUBLIC KEY-----"},
        "tokenEndPoint": "https://cloud.example.org/ocm/token",
        "jwksUri": "https://cloud.example.org/jwks",
    }
)
_MULTISTATUS: Final = (
    '<?xml version="1.0"?><d:multistatus xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns"><d:response><d:href>/dav/a%20b/</d:href>'
    "<d:propstat><d:prop><d:resourcetype><d:collection/></d:resourcetype><d:getcontentlength>12</d:getcontentlength>"
    "<d:getlastmodified>Mon, 02 Feb 2026 02:40:00 GMT</d:getlastmodified><d:getetag>&quot;a&quot;</d:getetag></d:prop>"
    "<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response></d:multistatus>"
)
_DAV_REQUESTS: Final = (
    "GET /dav/ocm/t/a.txt\nrange: bytes=0-9, 20-29\nif-range: x\n\n",
    'PROPFIND /dav/ocm/t/\ndepth: 1\n\n<propfind xmlns="DAV:"><prop><getetag/><displayname/></prop></propfind>',
    "PUT /dav/ocm/t/new%20one.txt\nif-none-match: *\ncontent-length: 3\nx-oc-mtime: 1770000000\n\nabc",
    "PUT /dav/ocm/t/late.txt\nx-oc-mtime: 11770000000\n\nabc",
    "MKCOL /dav/ocm/t/d/\n\n",
    "COPY /dav/ocm/t/folder\ndestination: /dav/ocm/t/elsewhere\noverwrite: F\ndepth: infinity\n\n",
    "MOVE /dav/ocm/t/a.txt\ndestination: https://cloud.example.org/dav/ocm/t/%C3%A4\n\n",
    "DELETE /dav/ocm/t/folder/b%20c.txt\nif: (<urn:uuid:1>)\n\n",
    'LOCK /dav/ocm/t/a.txt\ntimeout: Second-60\ndepth: 0\n\n<lockinfo xmlns="DAV:"><lockscope><shared/></lockscope>'
    "<locktype><write/></locktype></lockinfo>",
    "UNLOCK /dav/ocm/t/a.txt\nlock-token: <urn:uuid:1>\n\n",
    'PROPPATCH /dav/ocm/t/a.txt\n\n<propertyupdate xmlns="DAV:"><set><prop><x xmlns="y">z</x></prop></set></propertyupdate>',
    "HEAD /dav/ocm/t/folder/../a.txt\n\n",
)
_TRACE: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

TARGETS: Final[Mapping[str, Target]] = {
    target.name: target
    for target in (
        Target("signed_request", _signed_request, _files("signatures/*.http", "bad/signatures/*.http", "rfc9421/*.http")),
        Target("cavage", _cavage, _files("cavage/*.http", "bad/cavage/*.http")),
        Target("key_set", _key_set, _files("signatures/keys.json", "rfc9421/keys.json", "bad/jwks/*.jwks")),
        Target(
            "keyid",
            _keyid,
            _texts(
                "cloud.example.org#key1",
                "https://cloud.example.org:8443/ocm#signature",
                "[2001:db8::1]:1#",
                "b\u00fccher.example#k",
            ),
        ),
        Target(
            "directory",
            _directory,
            _texts('{"payload":"e30","protected":"eyJhbGciOiJFZERTQSJ9","signature":"AA"}', "eyJhbGciOiJFZERTQSJ9.e30.AA"),
        ),
        Target(
            "address",
            _address,
            _texts(
                "bob@cloud.example.org",
                "bob@https://cloud.example.org/",
                "a@b@b\u00fccher.example:8443",
                "https://[2001:db8::1]:444/x",
                "127.1",
                "bob%40cloud.example.org",
            ),
        ),
        Target("discovery", _discovery, _texts(_DISCOVERY, "{}")),
        Target("share_creation", _share_creation, _texts(_SHARE)),
        Target("notification", _notification, _texts(_NOTIFICATION)),
        Target("share_request", _share_request, _texts(_REQUEST)),
        Target("contacts", _contacts, _texts(*_CONTACTS)),
        Target(
            "token_request",
            _token_request,
            _texts("application/x-www-form-urlencoded\ngrant_type=authorization_code&client_id=a.example&code=abc%2Dd"),
        ),
        Target(
            "answers",
            _answers,
            _texts(
                '{"access_token":"abc","token_type":"Bearer","expires_in":300}',
                '{"error":"invalid_grant"}',
                '{"recipientDisplayName":"Bob"}',
            ),
        ),
        Target(
            "exchange",
            _exchange,
            _texts(
                "https://a.example/x?token=abc#y\nauthorization: Basic YTpi\ncontent-type: application/json\n\n" + _SHARE,
                "https://a.example/x\ncontent-type: application/x-www-form-urlencoded\n\ncode=abc&client_id=x",
                'https://a.example/x\ncontent-type: application/json\n\n{"message": "\\ud800", "sharedSecret": "abcd-\\ud800"}',
            ),
        ),
        Target("header_values", _header_values, _texts(_TRACE, "Bearer abc", "Basic YWxpY2U6c2VjcmV0", "basic ====")),
        Target(
            "source_address",
            _source_address,
            _texts(
                "192.0.2.1, 127.0.0.1", 'for="[2001:db8::1]:80";proto=https, for=192.0.2.1:80', "unknown", "::ffff:192.0.2.1%eth0"
            ),
        ),
        Target(
            "conditions",
            _conditions,
            _texts(
                'if-match: "abc", W/"d"\nif-none-match: *\nrange: bytes=0-9, 20-, -5',
                'if-modified-since: Mon, 02 Feb 2026 02:40:00 GMT\nif-range: "abc"\nrange: bytes=1-1',
                "if-unmodified-since: Monday, 02-Feb-26 02:40:00 GMT\nif-range: Mon Feb  2 02:40:00 2026\nrange: bytes=-0",
            ),
        ),
        Target(
            "paths",
            _paths,
            _texts(
                "/dav/files/alice/a%20b/%2e%2e/c?x\nhttps://cloud.example.org/dav/files/alice/d%2Fe",
                "/dav/files/alice/a\n/dav/files/alice/%E4/",
                "*\nhttp://u@cloud.example.org:80/dav/files/bob/",
            ),
        ),
        Target(
            "if_header",
            _if_header,
            _texts(
                '(<urn:uuid:1> ["abc"]) (Not <DAV:no-lock>)',
                '<https://cloud.example.org/dav/files/alice/a> (<urn:uuid:1>) (["d"]) </b> (Not [W/"e"])',
                "Infinite, Second-4100000000",
            ),
        ),
        Target("dav_request", _dav_request, _texts(*_DAV_REQUESTS)),
        Target(
            "xml_request",
            _xml_request,
            _texts(
                '<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop><getetag/>'
                '<x:y xmlns:x="urn:x"/></prop></propfind>',
                '<D:propfind xmlns:D="DAV:"><D:allprop/><D:include><D:getetag/></D:include></D:propfind>',
                '<d:propertyupdate xmlns:d="DAV:"><d:set><d:prop><d:lastmodified>1770000000</d:lastmodified></d:prop></d:set>'
                "<d:remove><d:prop><d:a/></d:prop></d:remove></d:propertyupdate>",
                '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype>'
                "<owner><href>a</href></owner></lockinfo>",
                '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
            ),
        ),
        Target("multistatus", _multistatus, _texts(_MULTISTATUS)),
    )
}
