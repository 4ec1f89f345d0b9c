"""`ocm discover|share|shares|unshare|inbox|accept|decline|leave` and the names of shares."""

import json
import re
import time
from typing import Any

import pytest

from opencloudmesh.cli.client import ApiClient
from opencloudmesh.services.ports import HttpAnswer


def test_discover_shows_what_the_other_server_can_do(logged_in: Any, server: Any) -> None:
    server.discovery = {
        "end_point": "https://b.example.org/ocm", "api_version": "1.4.0", "provider": "Bee",
        "capabilities": ["http-sig", "exchange-token"],
        "criteria": [], "resource_types": [{"name": "file", "share_types": ["user"], "protocols": {"webdav": "/dav/"}}, "odd"],
        "token_end_point": None,
    }  # fmt: skip
    result = logged_in("discover", "b.example.org")
    assert result.status == 0
    assert "http-sig, exchange-token" in result.out
    assert "file for user over webdav" in result.out
    assert logged_in("discover", "b.example.org", "--json").document["host"] == "b.example.org"


def test_a_refusal_of_the_server_is_shown_with_code_and_hint(logged_in: Any, server: Any, make_refusal: Any) -> None:
    server.next_answer = make_refusal(404, "dns", "the name b was not found", "Check the spelling of the server's name.")
    result = logged_in("discover", "b")
    assert result.status == 1
    assert result.err == "Error: the name b was not found (dns)\nWhat to do: Check the spelling of the server's name.\n"
    assert result.out == ""
    server.next_answer = make_refusal(404, "dns", "the name b was not found", "Check.")
    result = logged_in("discover", "b", "--json")
    assert result.document == {"error": {"code": "dns", "message": "the name b was not found", "hint": "Check."}}
    assert result.err == ""


def test_share_reads_only_unless_told_otherwise(logged_in: Any, server: Any) -> None:
    assert logged_in("share", "/Reports/2026/", "bob@b.example.org").status == 0
    assert server.bodies[-1] == {
        "path": "Reports/2026", "share_with": "bob@b.example.org", "permissions": ["read"], "expires_at": None
    }  # fmt: skip
    before = time.time()
    assert logged_in("share", "Reports", "bob@b.example.org", "--write", "--expires", "30d").status == 0
    assert server.bodies[-1]["permissions"] == ["read", "write"]
    assert before <= server.bodies[-1]["expires_at"] - 30 * 86400 <= time.time()


def test_share_says_that_it_was_taken(logged_in: Any, server: Any, make_outgoing: Any) -> None:
    from starlette.responses import JSONResponse

    server.next_answer = JSONResponse(make_outgoing(state="sent"), 201)
    assert "the other server has taken it" in logged_in("share", "Reports", "bob@b.example.org").out


@pytest.mark.parametrize(("owner", "is_told"), [("alice@a.example.org", True), ("a1b2c3@a.example.org", False)])
def test_share_says_where_the_login_name_is_told(
    logged_in: Any, server: Any, make_outgoing: Any, owner: str, is_told: bool
) -> None:
    from starlette.responses import JSONResponse

    server.next_answer = JSONResponse(make_outgoing(owner=owner), 201)
    said = logged_in("share", "Reports", "bob@b.example.org").out
    assert (f"The other server is told your login name, {owner}: " in said, "ocm invite create" in said) == (is_told, is_told)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("sent", "You share Reports with bob@b.example.org (share 7) just so already: the recipient has not answered yet."),
        (
            "accepted",
            "the recipient has accepted it.\nNothing was sent; to send it anew, take it back first: ocm unshare 7",
        ),
        ("pending", "Sharing Reports with bob@b.example.org (share 7) already: not delivered yet"),
    ],
)
def test_share_says_that_it_is_there_already(logged_in: Any, server: Any, make_outgoing: Any, state: str, told: str) -> None:
    from starlette.responses import JSONResponse

    share = make_outgoing(id=7, path="Reports", share_with="bob@b.example.org", state=state)
    server.next_answer = JSONResponse(share, 200)
    said = logged_in("share", "Reports", "bob@b.example.org")
    assert (said.status, told in said.out) == (0, True)


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        (("share", "Reports", "bob@b.example.org"), "It may have been done all the same: look first (ocm shares)"),
        (("invite", "create"), "look first (ocm invite list)"),
        (("logout",), "look first, and run"),
        (("shares",), "if it stays so, your server hangs"),
    ],
)
def test_what_was_cut_off_is_not_to_be_repeated_blindly(
    logged_in: Any, server: Any, make_cut_off: Any, command: tuple[str, ...], advice: str
) -> None:
    server.next_answer = make_cut_off()
    result = logged_in(*command)
    assert result.status == 4
    assert advice in result.err
    assert "transfer" not in result.err


async def test_a_question_waits_less_than_what_asks_other_servers() -> None:
    waited: dict[tuple[str, str], float] = {}

    class MemoryHttp:
        async def fetch(self, method: str, url: str, *, total_timeout: float, **_: Any) -> HttpAnswer:
            waited[method, url.partition("/api/v1/")[2]] = total_timeout
            return HttpAnswer(200, {}, b"{}")

    api = ApiClient(MemoryHttp(), "https://cloud.example.org")  # type: ignore[arg-type]
    for method, path in (("GET", "/shares"), ("GET", "/discover"), ("POST", "/shares")):
        await api.call(method, path)
    assert waited == {("GET", "shares"): 15.0, ("GET", "discover"): 60.0, ("POST", "shares"): 60.0}


def test_a_list_that_was_cut_off_is_asked_for_again(logged_in: Any, server: Any, make_cut_off: Any) -> None:
    server.next_answer = make_cut_off()
    assert "What to do: Run the same command again" in logged_in("shares").err


def test_a_share_that_was_refused_is_an_error(logged_in: Any, server: Any, make_outgoing: Any, make_delivery: Any) -> None:
    from starlette.responses import JSONResponse

    share = make_outgoing(state="failed", reason="http-400")
    server.deliveries = [make_delivery(outgoing_share_id=share["id"], state="dead", detail="recipient-unknown")]
    server.next_answer = JSONResponse(share, 201)
    result = logged_in("share", "Reports", "nobody@b.example.org")
    assert result.status == 1
    assert "recipient-unknown (http-400)" in result.err
    assert "What to do:" in result.err


def test_a_refusal_of_the_whole_server_is_for_the_other_operator(
    logged_in: Any, server: Any, make_outgoing: Any, make_delivery: Any
) -> None:
    from starlette.responses import JSONResponse

    share = make_outgoing(state="failed", reason="http-403")
    server.deliveries = [make_delivery(outgoing_share_id=share["id"], state="dead", detail="denylisted")]
    server.next_answer = JSONResponse(share, 201)
    result = logged_in("share", "Reports", "bob@b.example.org")
    assert "denylisted (http-403)" in result.err
    assert "for its operator to decide" in result.err
    assert "Check the address" not in result.err


def test_a_refusal_of_a_federation_says_so(logged_in: Any, server: Any, make_outgoing: Any, make_delivery: Any) -> None:
    from starlette.responses import JSONResponse

    share = make_outgoing(state="failed", reason="http-403")
    server.deliveries = [make_delivery(outgoing_share_id=share["id"], state="dead", detail="not-federated")]
    server.next_answer = JSONResponse(share, 201)
    assert "members of its federation" in logged_in("share", "Reports", "bob@b.example.org").err


def test_who_is_unknown_there_is_told_to_invite(logged_in: Any, server: Any, make_outgoing: Any, make_delivery: Any) -> None:
    from starlette.responses import JSONResponse

    share = make_outgoing(state="failed", reason="http-403")
    server.deliveries = [make_delivery(outgoing_share_id=share["id"], state="dead", detail="sender-unknown")]
    server.next_answer = JSONResponse(share, 201)
    assert "Send them an invite (ocm invite create)" in logged_in("share", "Reports", "bob@b.example.org").err


def test_a_share_that_is_not_taken_yet_says_why(logged_in: Any, server: Any, make_outgoing: Any, make_delivery: Any) -> None:
    from starlette.responses import JSONResponse

    server.deliveries = [
        make_delivery(id=1, outgoing_share_id=7, reason="old"),
        make_delivery(id=2, outgoing_share_id=9, reason="tcp-refused", detail="b takes no connections"),
        make_delivery(id=3, outgoing_share_id=7, reason="other"),
    ]
    server.next_answer = JSONResponse(make_outgoing(id=9, state="pending"), 201)
    said = logged_in("share", "Reports", "bob@b.example.org")
    assert (said.status, "not delivered yet (tcp-refused: b takes no connections)." in said.out) == (0, True)
    server.next_answer = JSONResponse(make_outgoing(id=9, state="pending"), 201)
    assert logged_in("share", "Reports", "bob@b.example.org", "--json").document["delivery"]["reason"] == "tcp-refused"
    server.next_answer = JSONResponse(make_outgoing(id=99, state="pending"), 201)
    assert "not delivered yet." in logged_in("share", "Reports", "bob@b.example.org").out


def test_a_bad_expiry_is_a_usage_fault(logged_in: Any, server: Any) -> None:
    result = logged_in("share", "Reports", "bob@b", "--expires", "soon", "--json")
    assert (result.status, result.document["error"]["code"]) == (2, "expiry-invalid")
    assert server.seen == []


def test_shares_and_inbox_list_every_page(logged_in: Any, server: Any, make_outgoing: Any, make_incoming: Any) -> None:
    server.page = 2
    server.shares = [make_outgoing(id=number, path=f"Folder {number}") for number in range(1, 6)]
    server.inbox = [make_incoming(id=number) for number in range(1, 5)]
    assert [item["id"] for item in logged_in("shares", "--json").document["items"]] == [1, 2, 3, 4, 5]
    assert "Folder 5" in logged_in("shares").out
    assert len(logged_in("inbox", "--json").document["items"]) == 4


class EndlessHttp:
    """Answers every page with the same items and the same place to go on from."""

    def __init__(self, page: dict[str, Any]) -> None:
        self.page = page
        self.asked = 0

    async def fetch(self, method: str, url: str, **more: Any) -> HttpAnswer:
        self.asked += 1
        assert self.asked < 10
        return HttpAnswer(200, {}, json.dumps(self.page).encode())


@pytest.mark.parametrize("page", [{"items": [{"id": 7}], "next": 7}, {"items": [], "next": 8}, {"items": [{}], "next": 0}])
async def test_a_server_that_pages_for_ever_is_left(page: dict[str, Any]) -> None:
    http = EndlessHttp(page)
    await ApiClient(http, "https://a.example").items("/shares")  # type: ignore[arg-type]
    assert http.asked <= 2


def test_a_page_that_is_none(logged_in: Any, server: Any) -> None:
    from starlette.responses import JSONResponse

    server.next_answer = JSONResponse({"items": "none"})
    assert logged_in("shares", "--json").document["error"]["code"] == "answer-invalid"


def test_rows_are_one_line_each_and_clean(logged_in: Any, server: Any, make_incoming: Any) -> None:
    server.inbox = [
        make_incoming(
            name="x" * 200 + "\x1b[2J\r\n[bold]",
            unavailable_since=1e9,
            unavailable_reason="tcp-timeout",
            state="accepted",
            path="Shared with me/x",
        ),
        make_incoming(id=2, expires_at="nonsense", permissions=None),
    ]
    result = logged_in("inbox")
    assert len(result.out.splitlines()) == 3
    assert "\x1b" not in result.out
    assert "\\x1b[2J\\r\\n[bold]" in result.out
    assert re.search(r"accepted, unavailable since 2001-09-\d\d \d\d:\d\d \S+ \(tcp-timeout\)", result.out)


def test_accept_decline_leave_by_id(logged_in: Any, server: Any, make_incoming: Any) -> None:
    server.inbox = [make_incoming(id=1), make_incoming(id=2, name="Other")]
    result = logged_in("accept", "1")
    assert (result.status, server.inbox[0]["state"]) == (0, "accepted")
    assert "Shared with me/Reports" in result.out
    assert logged_in("decline", "2", "--json").document["state"] == "declined"
    assert logged_in("leave", "1").status == 0
    assert server.inbox[0]["state"] == "left"


def test_unshare_by_name_means_the_living_share(logged_in: Any, server: Any, make_outgoing: Any) -> None:
    server.shares = [make_outgoing(id=1, path="a/Reports", state="revoked"), make_outgoing(id=2, path="a/Reports")]
    assert logged_in("unshare", "Reports").status == 0
    assert server.shares[1]["state"] == "revoked"
    assert logged_in("unshare", "/a/Reports", "--json").document["error"]["code"] == "share-ambiguous"


def test_shares_of_unknown_senders_are_told_of_and_shown_apart(logged_in: Any, server: Any, make_incoming: Any) -> None:
    server.inbox = [make_incoming(id=1, name="Friends", sender_known=True)]
    assert "unknown" not in logged_in("inbox").out
    server.inbox.append(make_incoming(id=2, name="Prizes", sender_known=False, quarantined=True))
    result = logged_in("inbox")
    assert "Prizes" not in result.out
    assert result.out.splitlines()[-1] == "1 share of unknown senders: ocm inbox --unknown"
    server.inbox.append(make_incoming(id=3, name="More prizes", sender_known=False, quarantined=True))
    assert logged_in("inbox").out.splitlines()[-1] == "2 shares of unknown senders: ocm inbox --unknown"
    assert [item["id"] for item in logged_in("inbox", "--json").document["items"]] == [1]
    assert logged_in("inbox", "--json").document["unknown"] == 2
    apart = logged_in("inbox", "--unknown").out
    assert ("Prizes" in apart, "Friends" in apart, "pending, unknown sender" in apart) == (True, False, True)


def test_an_unknown_sender_is_marked_also_where_nothing_is_kept_apart(logged_in: Any, server: Any, make_incoming: Any) -> None:
    server.inbox = [make_incoming(id=1, sender_known=False), make_incoming(id=2, sender_known=True)]
    lines = logged_in("inbox").out.splitlines()
    assert ["unknown sender" in line for line in lines[1:]] == [True, False]


def test_what_is_kept_apart_is_accepted_by_its_id_only(logged_in: Any, server: Any, make_incoming: Any) -> None:
    ended = make_incoming(id=1, name="Prizes", state="left")
    server.inbox = [make_incoming(id=7, name="Prizes", sender_known=False, quarantined=True), ended]
    by_name = logged_in("accept", "Prizes", "--json").document["error"]
    assert (by_name["code"], "7 (from bob@b.example.org)" in by_name["message"]) == ("share-unknown", True)
    assert "by its id: 7." in by_name["hint"]
    assert server.inbox[0]["state"] == "pending"
    refused = logged_in("accept", "8", "--json").document["error"]
    assert (refused["code"], "ocm inbox --unknown" in refused["hint"]) == ("share-unknown", True)
    assert "--unknown" not in logged_in("unshare", "8").err
    assert logged_in("accept", "7").status == 0
    assert server.inbox[0]["state"] == "accepted"


def test_an_id_wins_over_a_name(logged_in: Any, server: Any, make_incoming: Any) -> None:
    server.inbox = [make_incoming(id=1, name="2"), make_incoming(id=2, name="1")]
    assert logged_in("accept", "1", "--json").document["name"] == "2"


def test_a_name_that_fits_several_shares_asks_for_the_id(logged_in: Any, server: Any, make_incoming: Any) -> None:
    server.inbox = [make_incoming(id=1), make_incoming(id=2)]
    result = logged_in("accept", "Reports")
    assert result.status == 1
    assert "2 shares: 1, 2. (share-ambiguous)" in result.err
    assert "ocm inbox" in result.err


def test_leave_by_the_place_under_shared_with_me(logged_in: Any, server: Any, make_incoming: Any) -> None:
    server.inbox = [make_incoming(state="accepted", path="Shared with me/Reports (2)")]
    assert logged_in("leave", "Reports (2)").status == 0


def test_an_unknown_share(logged_in: Any, server: Any) -> None:
    result = logged_in("accept", "../../etc", "--json")
    assert (result.status, result.document["error"]["code"]) == (1, "share-unknown")


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"[" * 100_000, b'{"error": "text"}', b'{"error": {"code": 7}}', b""])
def test_an_answer_that_is_not_ours_is_no_crash(logged_in: Any, server: Any, body: bytes) -> None:
    from starlette.responses import Response

    server.next_answer = Response(body, 502)
    result = logged_in("shares", "--json")
    assert result.status == 1
    assert result.document["error"]["code"] in ("http-502", "7")
    server.next_answer = Response(b"<html>", 200)
    assert logged_in("whoami", "--json").document["error"]["code"] == "answer-invalid"


def test_a_redirect_is_not_followed(logged_in: Any, server: Any) -> None:
    from starlette.responses import RedirectResponse

    server.next_answer = RedirectResponse("http://127.0.0.1:1/")
    assert logged_in("whoami", "--json").document["error"]["code"] == "http-307"


def test_shares_say_why_the_other_server_did_not_take_them(
    logged_in: Any, server: Any, make_outgoing: Any, make_delivery: Any
) -> None:
    server.shares = [make_outgoing(id=7, state="failed", reason="http-400"), make_outgoing(id=8, state="accepted", reason="")]
    refused = {"kind": "SHARE_CREATION", "state": "dead", "reason": "http-400", "detail": "recipient-unknown"}
    server.deliveries = [make_delivery(outgoing_share_id=number, **refused) for number in (7, 8)]
    assert "http-400: recipient-unknown" in logged_in("shares").out
    causes = [item["cause"] for item in logged_in("shares", "--json").document["items"]]
    assert causes == ["http-400: recipient-unknown", ""], "who accepted it has it"
    server.shares = [make_outgoing(id=7, state="revoked", reason="", untold="http-403")]
    server.deliveries = [make_delivery(outgoing_share_id=7, **{**refused, "kind": "SHARE_UNSHARED", "detail": "no " * 100})]
    assert re.search(r"not told yet: http-400: no .{150,170}\.\.\.$", logged_in("shares", "--all").out.strip())


def test_unshare_means_the_share_that_gives_access(logged_in: Any, server: Any, make_outgoing: Any) -> None:
    states = {5: "failed", 6: "revoked", 7: "sent", 8: "failed"}
    server.shares = [make_outgoing(id=number, state=state, name="docs", path="docs") for number, state in states.items()]
    done = logged_in("unshare", "docs")
    assert (done.status, "(share 7)" in done.out) == (0, True)
    assert '"docs" is the name of shares 5, 8, too' in done.out


# ---------------------------------------------------------------- repair
def test_repair_goes_through_all_pages_and_says_what_was_done(logged_in: Any, server: Any) -> None:
    done = logged_in("shares", "repair", "--resend", "--peer", "b.example.org")
    assert done.status == 0
    assert server.bodies == [
        {"dry_run": False, "resend": True, "peer": "b.example.org", "after": ""},
        {"dry_run": False, "resend": True, "peer": "b.example.org", "after": "received:0"},
    ]
    header, given, received = done.out.splitlines()
    assert header.split() == ["SHARE", "ID", "STATE", "NAME", "WITH", "OTHER", "SIDE", "DONE"]
    assert given.endswith("notification sent again")
    assert received.split(maxsplit=6)[-1] == "noted"
    assert done.err.splitlines() == ["293 more: nothing is to be said of them, they wait for an answer here."]


def test_repair_does_not_say_that_it_asked_whom_it_did_not_ask(logged_in: Any) -> None:
    done = logged_in("shares", "repair")
    _, given, received = done.out.splitlines()
    assert "taken on 2001-09-09" in given
    assert given.endswith(", not asked")
    assert "not asked" not in received
    assert "ocm shares repair --resend" in done.err


def test_a_dry_repair_says_what_would_be_done(logged_in: Any) -> None:
    dry = logged_in("shares", "repair", "--dry-run", "--resend")
    assert "would send its notification again" in dry.out
    found = logged_in("shares", "repair", "--dry-run", "--json").document
    assert (found["dry_run"], [item["direction"] for item in found["items"]]) == (True, ["given", *["received"] * 294])


# ---------------------------------------------------------------- deliveries
def test_deliveries_by_peer_and_by_failure(logged_in: Any, server: Any, make_delivery: Any) -> None:
    server.deliveries = [
        make_delivery(id=1),
        make_delivery(id=2, state="dead", reason="http-403", peer="c.example.org"),
        make_delivery(id=3, state="queued", reason="tcp-refused", detail="b does not take connections"),
    ]
    listed = logged_in("deliveries")
    assert "tcp-refused: b does not take connections" in listed.out
    assert len(listed.out.splitlines()) == 4

    def ids(*options: str) -> list[int]:
        return [item["id"] for item in logged_in("deliveries", *options, "--json").document["items"]]

    assert ids() == [1, 2, 3]
    assert ids("--failed") == [2, 3]
    assert ids("--peer", "C.example.org") == [2]
    assert ids("--failed", "--peer", "b.example.org") == [3]


HELD = {"at": 1e9 + 60, "why": "breaker-open", "since": 1e9, "reason": "tcp-timeout"}


def test_what_is_held_back_by_a_server_that_is_down_says_so(
    logged_in: Any, server: Any, make_outgoing: Any, make_delivery: Any
) -> None:
    from starlette.responses import JSONResponse

    server.deliveries = [make_delivery(id=1, outgoing_share_id=9, state="queued", reason="", detail="", next_try=HELD)]
    server.next_answer = JSONResponse(make_outgoing(id=9, state="pending"), 201)
    said = logged_in("share", "Reports", "bob@b.example.org").out
    begin, end = "held back: b.example.org was not reached since 2001-09-09", "asked again now"
    for text in (said, logged_in("deliveries").out):
        assert begin in " ".join(text.split())
        assert "(tcp-timeout)" in text
        assert end in " ".join(text.split())


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("breaker-open", "Held back: b.example.org was not reached since"),
        ("back-off", "back-off: the wait grows"),
        ("retry-after", "Retry-After"),
        ("due", "as soon as there is a place"),
    ],
)
def test_show_says_when_the_next_try_is_and_why(logged_in: Any, server: Any, make_delivery: Any, why: str, said: str) -> None:
    server.deliveries = [make_delivery(id=1, state="queued", attempts=[], next_try={**HELD, "why": why})]
    assert said in logged_in("deliveries", "show", "1").out


def test_deliveries_are_found_by_the_trace_id_a_user_is_told(logged_in: Any, server: Any, make_delivery: Any) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    server.deliveries = [make_delivery(id=1, trace_id=trace), make_delivery(id=2, trace_id="5" * 32)]
    assert "  4bf92f35" in logged_in("deliveries").out
    for text in (trace, trace[:8].upper()):
        assert [item["id"] for item in logged_in("deliveries", "--trace", text, "--json").document["items"]] == [1]
    assert logged_in("deliveries", "--trace", "4bf9", "--json").document["error"]["code"] == "trace-invalid"


def test_the_next_try_is_so_long_from_now(logged_in: Any, server: Any, make_delivery: Any) -> None:
    following = {**HELD, "why": "back-off", "at": time.time() + 150}
    server.deliveries = [make_delivery(id=1, state="queued", next_try=following)]
    assert "  in 3 min" in logged_in("deliveries").out
    server.deliveries = [make_delivery(id=1, state="queued", attempts=[], next_try=following)]
    assert "Next try: in 3 min (20" in logged_in("deliveries", "show", "1").out


def test_deliveries_retry_cancel_and_show(logged_in: Any, server: Any, make_delivery: Any) -> None:
    tries = [{"at": 1e9, "duration": 0.1, "reason": "dns", "detail": "no such name", "http_status": 0}]
    server.deliveries = [make_delivery(id=1, state="dead"), make_delivery(id=2, attempts=tries)]
    assert logged_in("deliveries", "retry", "1").status == 0
    assert server.deliveries[0]["state"] == "queued"
    assert logged_in("deliveries", "cancel", "1", "--json").document["state"] == "dead"
    assert "dns: no such name" in logged_in("deliveries", "show", "2").out
    server.deliveries = [make_delivery(id=1, state="dead", reason="dns"), make_delivery(id=2, state="done", reason="dns")]
    assert "What to do: Check the spelling of the address" in logged_in("deliveries", "show", "1").out
    assert "What to do" not in logged_in("deliveries", "show", "2").out
    assert logged_in("deliveries", "retry", "9", "--json").status == 1


def test_deliveries_say_how_to_hurry_and_all_to_one_server_are_tried(logged_in: Any, server: Any, make_delivery: Any) -> None:
    server.deliveries = [make_delivery(id=number, state="queued", reason="dns", peer="b.example.org") for number in (1, 2)]
    assert "To try now what waits: ocm deliveries retry --peer b.example.org" in logged_in("deliveries").err
    assert "2 messages are tried now, to b.example.org" in logged_in("deliveries", "retry", "--peer", "B.example.org").out
    assert "Nothing waits for c.example.org." in logged_in("deliveries", "retry", "--peer", "c.example.org").out
    for wrong in ((), ("1", "--peer", "b.example.org")):
        assert logged_in("deliveries", "retry", *wrong).status == 2


def test_what_a_server_refused_because_it_does_not_deal_with_ours_is_explained(
    logged_in: Any, server: Any, make_outgoing: Any, make_delivery: Any
) -> None:
    server.shares = [make_outgoing(id=7, state="failed", reason="refused-by-peer")]
    refused = {"kind": "SHARE_CREATION", "state": "dead", "reason": "refused-by-peer", "detail": "policy-denied"}
    server.deliveries = [make_delivery(outgoing_share_id=7, peer="b.example.org", **refused)]
    shown = logged_in("shares")
    assert "refused-by-peer: policy-denied" in shown.out
    for words in ("offered again by itself when it does", "ocm deliveries retry --peer HOST", "to give it up: ocm unshare ID"):
        assert words in shown.err
    listed = logged_in("deliveries", "--failed").err
    assert "b.example.org does not deal with your server" in listed
    assert "ocm deliveries retry ID, or all: ocm deliveries retry --peer b.example.org" in listed


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"state": "dead", "reason": "refused-by-peer"}, "has not been told: it does not deal with yours (refused-by-peer)"),
        ({"state": "queued", "reason": "tcp-refused"}, "has not been told yet (tcp-refused)"),
        ({"state": "queued", "next_try": HELD}, "has not been told yet (held back: b.example.org was not reached since"),
        ({"state": "leased"}, "has not been told yet (it has not answered so far)"),
        ({"state": "done"}, ""),
        ({"state": "dead", "reason": "overtaken"}, ""),
    ],
    ids=lambda each: str(each.get("state")) if isinstance(each, dict) else "",
)
def test_unshare_says_where_the_other_server_was_not_told(
    logged_in: Any, server: Any, make_outgoing: Any, make_delivery: Any, monkeypatch: Any, message: dict[str, Any], said: str
) -> None:
    monkeypatch.setattr("opencloudmesh.cli.sharing._PAUSES", (0.0, 0.0))
    server.shares = [make_outgoing(id=7)]
    server.deliveries = [make_delivery(outgoing_share_id=7, kind="SHARE_UNSHARED", **message)]
    done = logged_in("unshare", "7")
    assert (done.status, "has not been told" in done.out) == (0, bool(said))
    assert said in done.out


def test_what_a_server_that_is_down_holds_back_has_the_same_reason_everywhere(
    logged_in: Any, server: Any, make_outgoing: Any, make_delivery: Any
) -> None:
    server.shares = [make_outgoing(id=7, state="pending"), make_outgoing(id=8, state="revoked", untold="")]
    held = {"state": "queued", "reason": "", "next_try": HELD}
    server.deliveries = [
        make_delivery(id=1, outgoing_share_id=7, **held),
        make_delivery(id=2, outgoing_share_id=8, kind="SHARE_UNSHARED", **held),
    ]
    first, second = (item["cause"] for item in logged_in("shares", "--all", "--json").document["items"])
    assert first.startswith("held back: b.example.org was not reached since")
    assert second == f"not told yet: {first}"
    assert first in logged_in("deliveries").out


def test_deliveries_are_short_in_a_list_and_whole_alone(logged_in: Any, server: Any, make_delivery: Any) -> None:
    said = "no " * 150
    server.deliveries = [make_delivery(id=1, state="dead", reason="http-403", detail=said, attempts=[])]
    server.deliveries[0]["attempts"] = [{"at": 1e9, "reason": "http-403", "detail": said, "http_status": 403, "duration": 0.1}]
    assert re.search(r"http-403: no .{150,170}\.\.\.$", logged_in("deliveries").out.strip())
    assert said.strip() in " ".join(logged_in("deliveries", "show", "1").out.split())


def test_what_was_taken_back_before_it_was_sent_is_no_failure(logged_in: Any, server: Any, make_delivery: Any) -> None:
    server.deliveries = [make_delivery(id=1, state="dead", reason="overtaken", attempts=[])]
    for shown in (logged_in("deliveries"), logged_in("deliveries", "show", "1")):
        assert "not needed" in shown.out
        assert "dead" not in shown.out
    assert logged_in("deliveries", "--json").document["items"][0]["state"] == "dead"


def test_the_inbox_tells_who_removed_the_user(logged_in: Any, server: Any) -> None:
    server.notices = [{"id": 1, "name": "Dora\x1b", "address": "dora@away.example", "shares": 2, "at": 1.0}]
    result = logged_in("inbox")
    assert "Dora\\x1b <dora@away.example> removed you, and is no contact now; shares that ended: 2." in result.err
    assert "removed" not in logged_in("inbox", "--json").err
    assert "removed you" in logged_in("contacts", "notices").out


@pytest.mark.parametrize(
    ("reason", "detail", "told"),
    [
        ("http-429", "recipient-limited", "One server sent more shares for one recipient"),
        ("http-401", "sig-key-not-pinned", "this signature was made with another one"),
        ("http-403", "sender-unknown; name: no", "Become known by an invite"),
        ("http-403", "Forbidden", "The peer answered with this HTTP status"),
        ("time-to-live", "tcp-refused", "could not be told within"),
    ],
)
def test_what_a_server_like_ours_says_is_explained(
    logged_in: Any, server: Any, make_delivery: Any, reason: str, detail: str, told: str
) -> None:
    server.deliveries = [make_delivery(id=1, state="dead", attempts=[], reason=reason, detail=detail)]
    assert told in logged_in("deliveries", "show", "1").out
