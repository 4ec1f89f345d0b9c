"""What is known of deployed servers, recognised by their discovery documents: what works with them only in one way.

Rules kept here: a row is data, a test of the document beside what one should know; nothing here changes what is sent.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from opencloudmesh.protocol.discovery import Discovery
from opencloudmesh.services.doctor.findings import Finding, Outcome


@dataclass(frozen=True, slots=True)
class KnownServer:
    """A product and what to know of it."""

    name: str
    fits: Callable[[Discovery], bool]
    outcome: Outcome
    sentence: str
    us: str = ""
    them: str = ""


def _provider(found: Discovery, *names: str) -> bool:
    return any(found.provider.lower().startswith(name) for name in names)


def _raw(found: Discovery) -> Mapping[str, Any]:
    return found.raw


def _is_nextcloud(found: Discovery) -> bool:
    has_root = found.webdav_path("file") == "/public.php/webdav/"
    return _provider(found, "nextcloud") or (has_root and "resourceTypes" in _raw(found) and not _is_owncloud_10(found))


def _is_old_nextcloud(found: Discovery) -> bool:
    return _is_nextcloud(found) and not found.provider and "version" not in _raw(found)


def _is_owncloud_10(found: Discovery) -> bool:
    return "shareTypes" in _raw(found) and "resourceTypes" not in _raw(found)


def _is_seafile(found: Discovery) -> bool:
    return found.end_point.endswith(("/ocm-via-webdav", "/api/v2.1/ocm"))


def _is_reva(found: Discovery) -> bool:
    return _provider(found, "reva", "cernbox")


_ONE_WAY: Final = "Share from there to here: that works. Shares of this server are not understood there."

KNOWN: Final = (
    KnownServer(
        "Nextcloud up to 30",
        _is_old_nextcloud,
        Outcome.WARN,
        "This looks like Nextcloud 30 or older: it takes shares only in the older form (protocol name webdav).",
        them="Update to Nextcloud 33 or newer.",
    ),
    KnownServer(
        "Nextcloud 31 to 34",
        lambda found: _is_nextcloud(found) and not _is_old_nextcloud(found) and not found.supports("http-sig"),
        Outcome.WARN,
        "Nextcloud before http-sig reads every Signature header by draft-cavage, and answers 400 to requests signed by RFC 9421.",
        them="Update to a version that announces http-sig.",
    ),
    KnownServer(
        "ownCloud 10",
        _is_owncloud_10,
        Outcome.WARN,
        "This looks like ownCloud 10: it takes shares only in the older form (protocol name webdav), and only files.",
        us=_ONE_WAY,
    ),
    KnownServer(
        "Seafile",
        _is_seafile,
        Outcome.WARN,
        "This looks like Seafile: it takes only the older form of shares, only files, and answers 500 to what it misses.",
        us=_ONE_WAY,
    ),
    KnownServer(
        "oCIS",
        lambda found: _provider(found, "ocis"),
        Outcome.WARN,
        "oCIS discovers nobody: it deals only with servers in its ocmproviders.json, and between people with an invitation.",
        us="Ask its operator to list your server.",
        them="Add our server to ocmproviders.json.",
    ),
    KnownServer(
        "OpenCloud",
        lambda found: _provider(found, "opencloud") and not _provider(found, "opencloudmesh"),
        Outcome.OK,
        "OpenCloud ignores notifications and answers 200 with an empty object to shares; it takes only bearer tokens.",
    ),
    KnownServer(
        "CERNBox (reva)",
        _is_reva,
        Outcome.OK,
        "reva ignores notifications, and takes shares only from people with an invitation, or from servers on its list.",
    ),
)


def known_by(found: Discovery) -> Iterator[Finding]:
    """What to know of the server that says this of itself."""
    for known in KNOWN:
        if known.fits(found):
            yield Finding(known.outcome, "known-server", known.sentence, known.us, known.them)
            return
