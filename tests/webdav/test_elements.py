"""The XML of WebDAV: what is read from strangers, and what is written to them."""

from xml.parsers import expat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.webdav.elements import (
    DAV,
    MULTISTATUS_END,
    MULTISTATUS_START,
    OC,
    OCM,
    Asked,
    MultistatusReader,
    Name,
    PropertyUpdate,
    PropFind,
    PropStat,
    XmlFault,
    build_error,
    build_propertyupdate,
    build_propfind,
    build_response,
    escape,
    parse_error,
    parse_propertyupdate,
    parse_propfind,
    tag,
)

ETAG = Name(DAV, "getetag")


def is_well_formed(document: bytes) -> bool:
    return expat.ParserCreate().Parse(document, True) == 1


def propfind(content: str, attributes: str = 'xmlns:D="DAV:"') -> bytes:
    return f"<D:propfind {attributes}>{content}</D:propfind>".encode()


# ---------------------------------------------------------------- propfind
@pytest.mark.parametrize(
    "body", [b"", b" \r\n", propfind("<D:allprop/>"), propfind("<allprop/>"), propfind("<D:allprop/><x xmlns='y'/>")]
)
def test_allprop(body: bytes) -> None:
    assert parse_propfind(body) == PropFind(Asked.ALL)


def test_a_propfind_without_any_namespace_is_one_of_dav() -> None:
    assert parse_propfind(b"<propfind><allprop/></propfind>") == PropFind(Asked.ALL)
    assert parse_propfind(b"<?xml version='1.0'?>\n<propfind><propname/></propfind>") == PropFind(Asked.NAMES)
    body = b'<propfind><prop><getetag/><size xmlns="http://owncloud.org/ns"/></prop></propfind>'
    assert parse_propfind(body) == PropFind(Asked.SOME, (ETAG, Name(OC, "size")))
    assert parse_propfind(b"<propfind><allprop/><include><getetag/></include></propfind>").names == (ETAG,)


def test_propname_and_include() -> None:
    assert parse_propfind(propfind("<D:propname/>")) == PropFind(Asked.NAMES)
    included = parse_propfind(propfind('<D:allprop/><D:include><o:size xmlns:o="http://owncloud.org/ns"/></D:include>'))
    assert included == PropFind(Asked.ALL, (Name(OC, "size"),))


def test_names_are_expanded_and_not_repeated() -> None:
    body = b"""<?xml version="1.0"?><d:propfind xmlns:d="DAV:"><d:prop><d:getetag/><x:share-permissions
        xmlns:x="http://open-cloud-mesh.org/ns"/><plain/><d:getetag/></d:prop></d:propfind>"""
    assert parse_propfind(body).names == (ETAG, Name(OCM, "share-permissions"), Name("", "plain"))


def test_what_we_ask_can_be_read() -> None:
    names = (ETAG, Name(OC, "size"), Name("urn:x", "y"), Name("", "plain"), Name('a"<&', "z"))
    assert parse_propfind(build_propfind(names)) == PropFind(Asked.SOME, names)


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><D:propfind xmlns:D="DAV:"><D:prop><x>&b;</x></D:prop></D:propfind>'
EXTERNAL = b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>'
UNDECLARED_ENTITY = propfind("<D:prop><x>&nope;</x></D:prop>")


@pytest.mark.parametrize(
    "body",
    [
        BOMB,
        EXTERNAL,
        b"<!DOCTYPE D:propfind>" + propfind("<D:allprop/>"),
        UNDECLARED_ENTITY,
        b"no xml",
        propfind("<D:allprop/>")[:-3],
        propfind("<D:allprop/>") + b"<more/>",
        propfind(""),
        propfind("<D:prop/><D:allprop/>"),
        propfind("<D:unknown/>"),
        propfind("<D:allprop/>", 'xmlns:D="DAV:" xmlns:bar=""'),
        b'<propfind xmlns="other:"><allprop/></propfind>',
        b"<D:propfind><D:allprop/></D:propfind>",
        b'<?xml version="1.0" encoding="koi8-unheard-of"?>' + propfind("<D:allprop/>"),
        propfind("<D:prop>" + "<a>" * 5000 + "</a>" * 5000 + "</D:prop>"),
        propfind("<D:prop>" + "<a/>" * 5000 + "</D:prop>"),
        propfind("<D:prop><a>" + "x" * 70_000 + "</a></D:prop>"),
        propfind('<D:prop><a xmlns="' + "x" * 70_000 + '"/></D:prop>'),
        b"\xff\xfe\x00",
        b"\0",
    ],
)
def test_dangerous_or_broken_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(XmlFault):
        parse_propfind(body)


@given(st.binary(max_size=200) | st.text(alphabet="<>/!?&;[]D:propfindxmlns='\"= ", max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for parse in (parse_propfind, parse_propertyupdate):
        try:
            parse(body)
        except XmlFault:
            continue


# ---------------------------------------------------------------- propertyupdate
def test_propertyupdate() -> None:
    body = b"""<d:propertyupdate xmlns:d="DAV:"><d:set><d:prop><d:lastmodified>12</d:lastmodified><x xmlns="y"><z/></x>
        </d:prop></d:set>
        <d:remove><d:prop><d:displayname/></d:prop></d:remove><other/></d:propertyupdate>"""
    assert parse_propertyupdate(body) == (
        PropertyUpdate(Name(DAV, "lastmodified"), "12", '<d:lastmodified xmlns:d="DAV:">12</d:lastmodified>'),
        PropertyUpdate(Name("y", "x"), "", '<x xmlns="y"><z></z></x>'),
        PropertyUpdate(Name(DAV, "displayname")),
    )
    (update,) = parse_propertyupdate(build_propertyupdate([(ETAG, tag(ETAG, escape("<&>")))]))
    assert (update.name, update.text) == (ETAG, "<&>")


@pytest.mark.parametrize(
    "body", [b"", b'<propertyupdate xmlns="DAV:"/>', b'<propertyupdate xmlns="DAV:"><set/></propertyupdate>']
)
def test_an_empty_propertyupdate_is_refused(body: bytes) -> None:
    with pytest.raises(XmlFault):
        parse_propertyupdate(body)


# ---------------------------------------------------------------- multistatus
def test_a_multistatus_is_read_as_it_was_written() -> None:
    first = build_response(
        "/a%20b/", [PropStat(200, [(ETAG, "&quot;1&quot;"), (Name(DAV, "resourcetype"), "<d:collection/>")]), PropStat(404, [])]
    )
    second = build_response("/a%20b/c&d", [PropStat(200, [(ETAG, "2")]), PropStat(404, [(Name("urn:x", "y"), "")])])
    document = MULTISTATUS_START + first + second + MULTISTATUS_END
    assert is_well_formed(document)
    for step in (1, 7, len(document)):
        reader = MultistatusReader()
        found = [response for at in range(0, len(document), step) for response in reader.feed(document[at : at + step])]
        found += reader.close()
        assert [(response.href, response.status, response.refused) for response in found] == [
            ("/a%20b/", 200, 0),
            ("/a%20b/c&d", 200, 404),
        ]
        assert found[0].properties[ETAG].text == '"1"'
        assert found[0].properties[Name(DAV, "resourcetype")].child("collection") is not None
        assert list(found[1].properties) == [ETAG]


def test_a_long_multistatus_is_read_piece_by_piece() -> None:
    reader = MultistatusReader()
    reader.feed(MULTISTATUS_START)
    for number in range(5000):
        (found,) = reader.feed(build_response(f"/{number}", [PropStat(200, [(ETAG, "x" * 50)])]))
        assert found.href == f"/{number}"
    assert reader.feed(MULTISTATUS_END) + reader.close() == []


def multistatus(content: str) -> bytes:
    return f'<multistatus xmlns="DAV:">{content}</multistatus>'.encode()


def test_deployed_servers_oddities_are_read() -> None:
    body = multistatus(
        "<sync-token>x</sync-token><response><href> /a </href><status>HTTP/1.1 404 Not Found</status></response>"
        "<response><href>/b</href><propstat><prop><getetag>1</getetag></prop></propstat>"
        "<propstat><prop><x/></prop><status>nonsense</status></propstat>"
        "<propstat><status>HTTP/1.1 200 OK</status></propstat>"
        "<propstat><prop><y/></prop><status>HTTP/2 425 Too Early</status></propstat></response><response/>"
    )
    reader = MultistatusReader()
    gone, there, nothing = reader.feed(body) + reader.close()
    assert (gone.href, gone.status) == ("/a", 404)
    assert set(there.properties) == {ETAG, Name(DAV, "y")}
    assert there.refused == 500
    assert (nothing.href, nothing.properties) == ("", {})


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>Log in</body></html>",
        multistatus("<response>" + "<a>" * 100 + "</a>" * 100 + "</response>"),
        multistatus("<response>" + "<a/>" * 2000 + "</response>"),
        multistatus("<response><href>" + "x" * 100_000 + "</href></response>"),
        BOMB,
        b"",
        multistatus("")[:-1],
    ],
)
def test_hostile_multistatus_is_refused(body: bytes) -> None:
    reader = MultistatusReader()
    with pytest.raises(XmlFault):
        _ = reader.feed(body) + reader.close()


@given(st.text(max_size=30))
def test_any_text_is_written_as_xml(text: str) -> None:
    response = build_response("/" + text, [PropStat(200, [(Name(text + "x", "p"), escape(text))])])
    document = MULTISTATUS_START + response + MULTISTATUS_END
    assert is_well_formed(document)


# ---------------------------------------------------------------- error
def test_errors_carry_their_code() -> None:
    body = build_error("read-only", "No <writing>.", "propfind-finite-depth")
    assert parse_error(body) == ("read-only", "No <writing>.")
    assert is_well_formed(body)
    assert b"<d:propfind-finite-depth/>" in body
    for other in (b"", b"<html/>", build_error("Not A Code", ""), build_error("", ""), b"\xff" * 9):
        assert parse_error(other) == ("", "")
    sabre = b'<d:error xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns"><s:exception>X</s:exception><s:message>Busy.</s:message></d:error>'
    assert parse_error(sabre) == ("", "Busy.")
