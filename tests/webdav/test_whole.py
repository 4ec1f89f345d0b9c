"""Elements kept as they came: what stands in them, what is declared, what it may cost."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.webdav.elements import (
    LockInfo,
    Name,
    PropertyUpdate,
    XmlFault,
    XmlReader,
    parse_lockinfo,
    parse_propertyupdate,
)


def kept(inner: str, outer: str = "") -> str:
    """The property in a propertyupdate whose root has the attributes `outer`."""
    body = f'<d:propertyupdate xmlns:d="DAV:" {outer}><d:set><d:prop>{inner}</d:prop></d:set></d:propertyupdate>'
    (update,) = parse_propertyupdate(body.encode())
    return update.element or ""


def test_the_same_name_again_is_kept_as_it_comes_each_time() -> None:
    """How a name begins is remembered: its attributes, language and declarations are not."""
    inner = '<p/><p a="b"><q/></p><p><q/>t</p><y:p/><p/><p xml:lang="de"/><p xmlns=""/><p xmlns:z="urn:z" z:a="1"/><p/>'
    outer = 'xmlns:d="DAV:" xmlns="urn:x" xmlns:y="urn:x"'
    body = f"<d:propertyupdate {outer}><d:set><d:prop>{inner}</d:prop></d:set></d:propertyupdate>"
    assert [update.element for update in parse_propertyupdate(body.encode())] == [
        '<p xmlns="urn:x"></p>',
        '<p xmlns="urn:x" a="b"><q></q></p>',
        '<p xmlns="urn:x"><q></q>t</p>',
        '<y:p xmlns:y="urn:x"></y:p>',
        '<p xmlns="urn:x"></p>',
        '<p xmlns="urn:x" xml:lang="de"></p>',
        "<p></p>",
        '<p xmlns:z="urn:z" xmlns="urn:x" z:a="1"></p>',
        '<p xmlns="urn:x"></p>',
    ]


@pytest.mark.parametrize(
    ("inner", "outer", "whole"),
    [
        ("<p>text</p>", "", "<p>text</p>"),
        ("<p/>", "", "<p></p>"),
        ("<x:p/>", 'xmlns:x="urn:x" xmlns:unused="urn:y"', '<x:p xmlns:x="urn:x"></x:p>'),
        ('<p xmlns="urn:x"><q/><r xmlns=""/></p>', "", '<p xmlns="urn:x"><q></q><r xmlns=""></r></p>'),
        ("<p>a<b>c</b>d<!-- no --><?no no?>e</p>", "", "<p>a<b>c</b>de</p>"),
        ("<p>&lt;&amp;&gt;<![CDATA[<&>]]>&#13;</p>", "", "<p>&lt;&amp;&gt;&lt;&amp;&gt;&#13;</p>"),
        ("<p a='&quot;&lt;&#10;&#9;' x:b='c'/>", 'xmlns:x="urn:x"',
         '<p xmlns:x="urn:x" a="&quot;&lt;&#10;&#9;" x:b="c"></p>'),
        ('<p xmlns:x="urn:1"><x:q><x:r xmlns:x="urn:2"/><x:s/></x:q></p>', "",
         '<p xmlns:x="urn:1"><x:q><x:r xmlns:x="urn:2"></x:r><x:s></x:s></x:q></p>'),
        ("<p/>", "xml:lang='de'", '<p xml:lang="de"></p>'),
        ("<p xml:lang='fr'><q/></p>", "xml:lang='de'", '<p xml:lang="fr"><q></q></p>'),
        ('<p xmlns:s="urn:s" t="s:v"/>', "", '<p xmlns:s="urn:s" t="s:v"></p>'),
        ("<p>\U00010000ä</p>", "", "<p>\U00010000ä</p>"),
    ],
)  # fmt: skip
def test_what_is_kept(inner: str, outer: str, whole: str) -> None:
    assert kept(inner, outer) == whole
    ElementTree.fromstring(whole)  # noqa: S314  stands by itself


_NAME = st.sampled_from(["a", "b", "x:a", "y:b"])
_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=8)


def _element(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def build(name: str, attribute: str, space: str, content: list[str]) -> str:
        declared = f' xmlns="urn:{space}" xmlns:x="urn:x{space}"' if space else ""
        return f'<{name} y:k="{attribute}"{declared}>{"".join(content)}</{name}>'

    return st.builds(build, _NAME, _TEXT.map(_escaped), st.sampled_from(["", "1", "2"]), st.lists(children, max_size=3))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


@given(_element(st.recursive(_TEXT.map(_escaped), _element, max_leaves=6)))
def test_what_is_kept_means_the_same_elsewhere(inner: str) -> None:
    whole = kept(inner, 'xmlns:x="urn:ox" xmlns:y="urn:oy"')
    document = f'<r xmlns:x="urn:ox" xmlns:y="urn:oy">{inner}</r>'
    (here,), (there,) = ElementTree.fromstring(document), ElementTree.fromstring(f'<o xmlns:x="urn:q">{whole}</o>')  # noqa: S314
    assert ElementTree.canonicalize(ElementTree.tostring(here)) == ElementTree.canonicalize(ElementTree.tostring(there))


def test_declarations_do_not_multiply_without_end() -> None:
    """One long namespace, used by a thousand properties, would be a thousand times as long when it is kept."""
    body = '<d:propertyupdate xmlns:d="DAV:" xmlns:x="' + "u" * 40_000 + '"><d:set><d:prop>' + "<x:p/>" * 900
    with pytest.raises(XmlFault):
        parse_propertyupdate((body + "</d:prop></d:set></d:propertyupdate>").encode())


def test_a_namespace_may_hold_a_space() -> None:
    body = b'<propertyupdate xmlns="DAV:"><set><prop><p xmlns="urn:a b"/></prop></set></propertyupdate>'
    assert parse_propertyupdate(body) == (PropertyUpdate(Name("urn:a b", "p"), "", '<p xmlns="urn:a b"></p>'),)


def test_each_response_of_a_long_answer_is_kept() -> None:
    reader = XmlReader(emit_depth=2, whole_depth=3)
    found = reader.feed(b"<m>") + [one for _ in range(500) for one in reader.feed(b"<r><p>" + b"x" * 500 + b"</p></r>")]
    assert [one.children[0].whole for one in found] == ["<p>" + "x" * 500 + "</p>"] * 500


# ---------------------------------------------------------------- lockinfo
def test_lockinfo() -> None:
    body = b"""<?xml version="1.0"?><D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope>
        <D:locktype><D:write/></D:locktype><D:owner>me <D:href>http://me</D:href></D:owner></D:lockinfo>"""
    assert parse_lockinfo(body) == LockInfo(True, '<D:owner xmlns:D="DAV:">me <D:href>http://me</D:href></D:owner>')
    bare = b'<lockinfo xmlns="DAV:"><locktype><write/></locktype><lockscope><shared/></lockscope></lockinfo>'
    assert parse_lockinfo(bare) == LockInfo(False)


@pytest.mark.parametrize("start", [b"", b"\n ", b'<?xml version="1.0" encoding="utf-8"?>\n'])
def test_a_lockinfo_without_namespaces_is_read_as_far_as_it_goes(start: bytes) -> None:
    body = start + b"<D:lockinfo><D:lockscope><D:%s/></D:lockscope><d:locktoken></D:lockinfo>"
    assert parse_lockinfo(body % b"exclusive") == LockInfo(True)
    assert parse_lockinfo(body % b"shared") == LockInfo(False)
    for other in (body % b"other", body.replace(b"<D:lockinfo>", b'<D:lockinfo xmlns:D="DAV:">') % b"exclusive"):
        with pytest.raises(XmlFault):
            parse_lockinfo(other)


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "<locktype><write/></locktype>",
        "<lockscope><exclusive/></lockscope>",
        "<lockscope/><locktype><write/></locktype>",
        "<lockscope><exclusive/><shared/></lockscope><locktype><write/></locktype>",
        "<lockscope><weird/></lockscope><locktype><write/></locktype>",
        "<lockscope><exclusive/></lockscope><locktype><read/></locktype>",
    ],
)
def test_a_lockinfo_that_asks_for_no_lock_of_ours_is_refused(inner: str) -> None:
    with pytest.raises(XmlFault):
        parse_lockinfo(f'<lockinfo xmlns="DAV:">{inner}</lockinfo>'.encode())
