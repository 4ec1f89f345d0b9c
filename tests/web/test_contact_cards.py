"""The address book as a file: by the user API, and on the page."""

import re
from typing import Any

import pytest

from opencloudmesh.protocol.contacts import LARGEST_FILE
from opencloudmesh.protocol.errors import InvalidInput
from opencloudmesh.web.pages.multipart import boundary_of, parts_of
from tests.web.visitor import Visitor

BOOK = b"BEGIN:VCARD\r\nFN:Dora\r\nCLOUD:dora@peer.example.org\r\nEND:VCARD\r\n"


async def session(server: Any) -> dict[str, str]:
    login = await server.call("POST", "/session", {"username": "alice", "password": "wonderland"}, token="")
    return {"authorization": f"Bearer {login.json['token']}"}


# ---------------------------------------------------------------- user API
@pytest.mark.parametrize(
    ("form", "kind", "name"),
    [("jscontact", "application/jscontact+json", "contacts.json"), ("vcard", "text/vcard; charset=utf-8", "contacts.vcf")],
)
async def test_contacts_leave_as_a_file(server: Any, form: str, kind: str, name: str) -> None:
    answer = await server.call("GET", "/contact-cards", query=f"format={form}")
    assert (answer.status, answer.body) == (200, f'["alice", "{form}"]'.encode())
    assert answer.header("content-type") == kind
    assert answer.header("content-disposition") == f'attachment; filename="{name}"'
    assert (await server.call("GET", "/contact-cards", query="format=csv")).status == 422
    assert (await server.call("GET", "/contact-cards", token="")).status == 401


async def test_a_file_is_taken_whatever_it_is_called(server: Any) -> None:
    headers = await session(server)
    for kind in ("text/vcard", "application/octet-stream"):
        answer = await server.ask("POST", "/api/v1/contact-cards", body=BOOK, headers=headers | {"content-type": kind})
        assert (answer.status, answer.json["added"], answer.json["refused"]) == (200, 1, 1)
        assert answer.json["faults"][0]["code"] == "own-server"
    bad = await server.ask("POST", "/api/v1/contact-cards", body=b"hello", headers=headers)
    assert (bad.status, bad.json["error"]["code"]) == (400, "cards-invalid")


async def test_a_large_file_is_read_of_a_user_only(server: Any) -> None:
    headers = await session(server)
    large = BOOK + b"\r\n" * 900_000
    assert (await server.ask("POST", "/api/v1/contact-cards", body=large, headers=headers)).status == 200
    assert (await server.ask("POST", "/api/v1/contact-cards", body=large)).status == 401
    assert (await server.ask("POST", "/api/v1/contacts", body=large, headers=headers)).status == 413
    huge = headers | {"content-length": str(LARGEST_FILE + 1)}
    assert (await server.ask("POST", "/api/v1/contact-cards", body=b"x", headers=huge)).status == 413


# ---------------------------------------------------------------- page
def form_of(csrf: str, file: bytes, boundary: str = "X-Y") -> tuple[bytes, dict[str, str]]:
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n{csrf}\r\n--{boundary}\r\n'.encode()
    name = b'Content-Disposition: form-data; name="file"; filename="a.vcf"\r\nContent-Type: text/vcard\r\n\r\n'
    return head + name + file + f"\r\n--{boundary}--\r\n".encode(), {"content-type": f"multipart/form-data; boundary={boundary}"}


async def upload(visitor: Visitor, csrf: str, file: bytes) -> Any:
    body, headers = form_of(csrf, file)
    headers["cookie"] = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    answer = await visitor.server.ask("POST", "/contacts/import", body=body, headers=headers)
    visitor.keep(answer)
    return answer


async def test_a_file_is_uploaded_without_a_script_and_its_faults_are_shown_inert(server: Any, alice: Visitor) -> None:
    assert 'enctype="multipart/form-data"' in alice.page
    answer = await upload(alice, alice.csrf, BOOK + b"\r\n" * 100_000)
    assert (answer.status, answer.header("location")) == (303, "/contacts/imported")
    assert server.contact_cards.files == [BOOK + b"\r\n" * 100_000]
    for _ in range(2):
        page = (await alice.ask("GET", "/contacts/imported")).body.decode()
        assert "Added: 1." in page
        assert "Entry 7, &lt;b&gt;Eve&lt;/b&gt;\ufffd: That address is here." in page
    for file, code in ((b"", "cards-invalid"), (b"hello", "cards-invalid")):
        answer = await upload(alice, alice.csrf, file)
        assert (answer.status, code in answer.body.decode()) == (400, True)
    assert len(server.contact_cards.files) == 2


async def test_a_foreign_form_uploads_nothing(server: Any, alice: Visitor) -> None:
    assert (await upload(alice, "0" * 64, BOOK)).status == 403
    alice.cookies.pop("__Host-ocm-session")
    assert dict((await upload(alice, alice.csrf, BOOK)).headers)["location"] == "/login?next=%2Fcontacts"
    assert (await upload(alice, alice.csrf, b"x" * 200_000)).status == 413, "nobody else's file is read"
    assert server.contact_cards.files == []


async def test_a_file_is_downloaded(alice: Visitor) -> None:
    links = re.findall(r'href="(/contacts/export\?format=\w+)" download', alice.page)
    for link, kind in zip(links, ("application/jscontact+json", "text/vcard; charset=utf-8"), strict=True):
        answer = await alice.ask("GET", link)
        assert (answer.status, answer.header("content-type")) == (200, kind)
        assert answer.header("content-disposition").startswith("attachment")
        assert answer.header("x-content-type-options") == "nosniff"


# ---------------------------------------------------------------- forms with a file
def test_a_form_with_a_file_is_read() -> None:
    body, headers = form_of("c", b"--X-\r\n\r\nb")
    assert parts_of(body, boundary_of(headers["content-type"]) or b"") == ({"csrf": "c"}, b"--X-\r\n\r\nb")
    assert boundary_of('Multipart/Form-Data; boundary="a b"') == b"a b"
    for other in ("application/x-www-form-urlencoded", "multipart/form-data", "multipart/mixed; boundary=x", ""):
        assert boundary_of(other) is None


@pytest.mark.parametrize(
    "body",
    [b"", b"--X", b"--X\r\n\r\nno name\r\n--X--", b'--X\r\nform-data; name="a"\r\n\r\ncut off', b"\r\n--X" * 99],
)
def test_what_is_no_form(body: bytes) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parts_of(body, b"X")
    assert refusal.value.code == "form-invalid"
