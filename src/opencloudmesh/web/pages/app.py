"""The pages as one ASGI app: finds the page, who asks, and turns every error into a page."""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from opencloudmesh.protocol.address import host_of_url
from opencloudmesh.protocol.contacts import LARGEST_FILE
from opencloudmesh.protocol.errors import NotFound, OCMError, Unauthorized
from opencloudmesh.services.ports import NewToken
from opencloudmesh.services.records import Secret
from opencloudmesh.services.tracing import current_trace
from opencloudmesh.web.answers import ASGIApp, Receive, Scope, Send
from opencloudmesh.web.bodies import ClientGone, read_body
from opencloudmesh.web.pages import contacts, files, inbox, invites, login, share_requests, shares, wayf
from opencloudmesh.web.pages.multipart import boundary_of, parts_of
from opencloudmesh.web.pages.page import (
    FORM_BYTES,
    HERE,
    PageAnswer,
    PageRequest,
    check_texts,
    fields_of,
    local_path,
    nothing_here,
    render,
    retry_after,
)
from opencloudmesh.web.pages.refused import status_of
from opencloudmesh.web.pages.sessions import (
    TOLD_SECONDS,
    Cookies,
    check_form,
    is_from_here,
    is_of_session,
    new_binding,
    read_told,
    write_told,
)
from opencloudmesh.web.pages.texts import text
from opencloudmesh.web.pages.wayf import KnownServers
from opencloudmesh.web.user_api.services import UserServices

_log = structlog.get_logger(__name__)
Handler = Callable[..., Awaitable[PageAnswer]]

_IDLE_SECONDS: Final = 20.0
_STATIC: Final = {
    "style.css": b"text/css; charset=utf-8",
    "pages.js": b"text/javascript; charset=utf-8",
    "icon.svg": b"image/svg+xml",
}
_ICON: Final = "/favicon.ico"
"""Where browsers look for the icon of what is no page."""


@dataclass(frozen=True, slots=True)
class Route:
    """One page. `public`: also for who is not logged in."""

    method: str
    path: str
    pattern: re.Pattern[str]
    handler: Handler
    public: bool = False
    file_bytes: int = 0
    """A file of at most so many bytes may come with the form."""


def _route(method: str, path: str, handler: Handler, *, public: bool = False, file_bytes: int = 0) -> Route:
    pattern = path.replace("{id}", r"(?P<item>[1-9][0-9]{0,17})").replace("{act}", r"(?P<act>[a-z]+)")
    return Route(method, path, re.compile(pattern), handler, public, file_bytes)


def page_routes(known_servers: KnownServers, files_app: ASGIApp) -> tuple[Route, ...]:
    """Every page there is. The tests of the pages' protection go through this table, too."""
    look = wayf.Wayf(known_servers)
    return (
        _route("GET", "/", inbox.start),
        _route("GET", "/login", login.show, public=True),
        _route("POST", "/login", login.submit, public=True),
        _route("POST", "/logout", login.logout),
        _route("GET", "/inbox", inbox.show),
        _route("POST", "/inbox/{id}/{act}", inbox.act),
        _route("POST", "/notices/{id}/{act}", inbox.act_on_notice),
        _route("GET", "/shares", shares.show),
        _route("POST", "/shares", shares.create),
        _route("POST", "/shares/{id}/{act}", shares.act),
        _route("POST", "/deliveries/{id}/{act}", shares.act_on_message),
        _route("GET", "/files", files.show),
        _route("GET", "/files/save", files.Download(files_app).look),
        _route("GET", "/contacts", contacts.show),
        _route("POST", "/contacts", contacts.add),
        _route("GET", "/contacts/export", contacts.export),
        _route("GET", "/contacts/imported", contacts.show_imported),
        _route("POST", "/contacts/import", contacts.import_cards, file_bytes=LARGEST_FILE),
        _route("POST", "/contacts/{id}/{act}", contacts.act),
        _route("GET", "/invites", invites.show),
        _route("POST", "/invites", invites.create),
        _route("GET", "/invites/made", invites.show_made),
        _route("POST", "/invites/only", invites.only),
        _route("POST", "/invites/{id}/{act}", invites.act),
        _route("GET", "/invite/accept", invites.dialog),
        _route("POST", "/invite/accept", invites.accept),
        _route("GET", "/wayf", look.show, public=True),
        _route("POST", "/wayf", look.choose, public=True),
        _route("GET", "/requests", share_requests.show),
        _route("GET", "/requests/made", share_requests.show_made),
        _route("POST", "/requests", share_requests.create),
        _route("POST", "/requests/{id}/{act}", share_requests.act),
        _route("POST", "/received-requests/{id}/{act}", share_requests.answer),
        _route("POST", "/request-links", share_requests.create_link),
        _route("POST", "/request-links/{id}/{act}", share_requests.act_on_link),
        _route("GET", "/request-access", share_requests.visit, public=True),
        _route("POST", "/request-access", share_requests.ask, public=True),
    )


def build_pages(
    services: UserServices,
    *,
    origin: str,
    new_token: NewToken,
    known_servers: KnownServers,
    files_app: ASGIApp,
    not_found: ASGIApp,
) -> ASGIApp:
    """The ASGI app of all pages; what is none of them is left to `not_found`, where no browser asks for a page.

    `files_app` is WebDAV for users, which sends the files that are saved.
    """
    return _Pages(page_routes(known_servers, files_app), services, origin=origin, new_token=new_token, not_found=not_found)


class _Pages:
    def __init__(
        self, routes: tuple[Route, ...], services: UserServices, *, origin: str, new_token: NewToken, not_found: ASGIApp
    ) -> None:
        self._routes = routes
        self._services = services
        self._cookies = Cookies(origin=origin)
        self._origin = origin
        self._host = host_of_url(origin)
        self._new_token = new_token
        self._not_found = not_found
        self._files = {f"/static/{name}": (kind, (HERE / "static" / name).read_bytes()) for name, kind in _STATIC.items()}
        self._files[_ICON] = self._files["/static/icon.svg"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        found = [(route, match) for route in self._routes if (match := route.pattern.fullmatch(path))]
        if path in self._files:
            answer = self._file(path, scope["method"])
        elif not found and not _asks_for_a_page(scope):
            await self._not_found(scope, receive, send)
            return
        else:
            try:
                answer = await self._answer(scope, receive, found)
            except ClientGone:
                return
        if answer.goes_on is not None:
            await answer.goes_on(scope, receive, send)
        else:
            await _send(send, answer, head=scope["method"] == "HEAD")

    def _file(self, path: str, method: str) -> PageAnswer:
        if method not in ("GET", "HEAD"):
            return PageAnswer(405, headers=((b"allow", b"GET, HEAD"),))
        kind, content = self._files[path]
        return PageAnswer(200, content, ((b"content-type", kind), (b"cache-control", b"public, max-age=3600")))

    async def _answer(self, scope: Scope, receive: Receive, found: list[tuple[Route, re.Match[str]]]) -> PageAnswer:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        chosen = next(((route, match) for route, match in found if route.method == method), None)
        request = self._request(scope, method)
        try:
            request = await self._with_user(request)
            if chosen is None and found:
                return self._only_for_forms(request, {route.method for route, _ in found})
            if chosen is None:
                raise nothing_here()
            request = await self._complete(request, scope, receive, chosen[0])
            if request.method == "POST" and (instead := self._of_another_session(request, chosen[0])) is not None:
                return instead
            return await self._asked(request, chosen[0], chosen[1].groupdict())
        except ClientGone:
            raise
        except OCMError as error:
            return self._refused(request, error)
        except Exception:
            _log.exception("request failed", path=scope["path"])
            return self._refused(request, OCMError(text("error.internal"), hint=text("error.internal.hint")), status=500)

    def _only_for_forms(self, request: PageRequest, methods: set[str]) -> PageAnswer:
        """Who follows an address that only a form is sent to (out of the history, say) finds a page that says so."""
        allow = (b"allow", ", ".join(sorted(methods)).encode())
        if request.method != "GET":
            return PageAnswer(405, headers=(allow,))
        fault = NotFound(text("error.form_only"), code="method-not-allowed", hint=text("error.form_only.hint"))
        answer = self._refused(request, fault, status=405)
        return replace(answer, headers=(*answer.headers, allow))

    def _request(self, scope: Scope, method: str) -> PageRequest:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        cookies = self._cookies.read(headers.get("cookie"))
        return PageRequest(
            method=method,
            path=scope["path"],
            headers=headers,
            cookies=cookies,
            query={},
            form={},
            services=self._services,
            origin=self._origin,
            host=self._host,
            user=None,
            bound_to="",
        )

    async def _complete(self, request: PageRequest, scope: Scope, receive: Receive, route: Route) -> PageRequest:
        """Read the query and the form; a file only of who is logged in."""
        request = replace(request, query=fields_of(scope["query_string"].decode("latin-1")))
        if request.method != "POST":
            return request
        body = await read_body(scope, receive, FORM_BYTES + (route.file_bytes if request.user else 0), _IDLE_SECONDS)
        boundary = boundary_of(request.headers.get("content-type", "")) if route.file_bytes else None
        form, file = (fields_of(body.decode("utf-8", "replace")), b"") if boundary is None else parts_of(body, boundary)
        return replace(request, form=form, file=file)

    def _of_another_session(self, request: PageRequest, route: Route) -> PageAnswer | None:
        """Where a form of a session that has ended leads instead: to a page that shows it anew; None for a form of this session.

        Such a form does nothing. Raises `AccessDenied` (form-foreign), `InvalidInput` (form-invalid).
        """
        if is_from_here(request.headers, self._origin):
            if request.user is None and not route.public:
                return login.onward(form_page(request, self._routes))
            if route.handler == login.submit and not is_of_session(request.form, request.bound_to):
                return login.again(request)
        check_form(request.form, bound_to=request.bound_to, headers=request.headers, origin=self._origin)
        check_texts(request.form)
        return None

    async def _with_user(self, request: PageRequest) -> PageRequest:
        token = request.cookies.get(self._cookies.session)
        bound_to, user = request.cookies.get(self._cookies.form, ""), None
        if token:
            with suppress(Unauthorized):
                user, bound_to = await self._services.accounts.user_of_token(Secret(token)), token
        told = read_told(request.cookies.get(self._cookies.told, ""), bound_to=bound_to)
        said = read_told(request.cookies.get(self._cookies.said, ""), bound_to=bound_to)
        is_here = request.method == "GET" and said.get("at") == request.path
        return replace(request, user=user, bound_to=bound_to, told=told, said=said if is_here else {})

    async def _asked(self, request: PageRequest, route: Route, found: dict[str, str]) -> PageAnswer:
        if request.user is None and not route.public:
            return login.first(request)
        extra: tuple[tuple[bytes, bytes], ...] = ()
        if not request.bound_to:  # so that the first form of a visitor has something to be bound to
            binding = new_binding(self._new_token).reveal()
            request = replace(request, bound_to=binding)
            extra = ((b"set-cookie", self._cookies.set(self._cookies.form, binding).encode()),)
        arguments: dict[str, Any] = {name: int(value) if name == "item" else value for name, value in found.items()}
        if route.handler in (login.submit, login.logout):
            arguments["cookies"] = self._cookies
        answer = await route.handler(request, **arguments)
        if answer.tells is not None:
            told = write_told(answer.tells, bound_to=request.bound_to)
            extra = (*extra, (b"set-cookie", self._cookies.set(self._cookies.told, told, seconds=TOLD_SECONDS).encode()))
        if answer.says is not None:
            said = write_told(answer.says, bound_to=request.bound_to)
            extra = (*extra, (b"set-cookie", self._cookies.set(self._cookies.said, said, seconds=TOLD_SECONDS).encode()))
        elif request.said:
            extra = (*extra, (b"set-cookie", self._cookies.set(self._cookies.said, "", seconds=0).encode()))
        return replace(answer, headers=(*answer.headers, *extra))

    def _refused(self, request: PageRequest, error: OCMError, *, status: int | None = None) -> PageAnswer:
        """What went wrong, as a page: what a user's program is told too (`answer_to_user`)."""
        return render(
            request,
            "error.html",
            status=status or status_of(error),
            headers=retry_after(error),
            error=error,
            trace=current_trace() or "",
            back=form_page(request, self._routes),
        )


def form_page(request: PageRequest, routes: tuple[Route, ...]) -> str:
    """The page that shows the form of a request: that of its invite, the one that it came from, else its list."""
    if request.method == "POST" and request.path == "/invite/accept" and (dialog := invites.dialog_of(request)):
        return dialog
    came_from = request.headers.get("referer", "")
    path = local_path(came_from.removeprefix(request.origin), "") if came_from.startswith(f"{request.origin}/") else ""
    is_page = any(route.method == "GET" and route.pattern.fullmatch(path.partition("?")[0]) for route in routes)
    return path if request.method == "POST" and is_page else redirect_target(request)


def redirect_target(request: PageRequest) -> str:
    """The list that a request belongs to."""
    first = request.path.split("/")[1] if request.path.count("/") > 1 or request.method == "POST" else ""
    lists = {"deliveries": "/shares", "notices": "/inbox", "received-requests": "/requests", "request-links": "/requests"}
    lists["invite"] = "/invites"
    lists |= {name: f"/{name}" for name in ("inbox", "files", "shares", "requests", "contacts", "invites")}
    return lists.get(first, "/")


def _asks_for_a_page(scope: Scope) -> bool:
    accepted = b",".join(value for name, value in scope["headers"] if name == b"accept")
    return scope["method"] in ("GET", "HEAD") and b"text/html" in accepted


async def _send(send: Send, answer: PageAnswer, *, head: bool) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.all_headers()})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})
