"""The limits of one server, made of its settings; they count by a clock that nobody sets."""

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass

from opencloudmesh.config.settings import LimitSettings, Settings
from opencloudmesh.services.inbox_limits import InboxLimits
from opencloudmesh.services.login_limits import LoginLimits
from opencloudmesh.services.measures import Measures
from opencloudmesh.services.peer_limits import PeerLimits
from opencloudmesh.services.share_request.limits import RequestBounds, RequestLimits
from opencloudmesh.web.limiting import AddressLimits, EndpointLimits
from opencloudmesh.web.refusal_log import RefusalLog
from opencloudmesh.web.source_address import UNIX, SourceAddresses

_clock = time.monotonic


@dataclass(frozen=True, slots=True)
class Limits:
    """One of each kind."""

    addresses: AddressLimits
    logins: LoginLimits
    peers: PeerLimits
    inboxes: InboxLimits
    requests: RequestLimits

    @classmethod
    def of(cls, settings: LimitSettings, measures: Measures) -> "Limits":
        return cls(
            AddressLimits(
                messages=EndpointLimits.of(settings.requests_per_address, settings.at_once_per_address),
                shared=EndpointLimits.of(settings.dav_requests_per_address, settings.dav_at_once_per_address),
                failures_a_minute=settings.failures_per_address,
                addresses=SourceAddresses(settings.trusted_proxies, settings.forwarded_header),
                clock=_clock,
                refusals=RefusalLog(_clock),
                measures=measures,
            ),
            LoginLimits(
                clock=_clock,
                per_address=settings.logins_per_address,
                per_user=settings.logins_per_user,
                queue=settings.password_queue,
                measures=measures,
            ),
            PeerLimits(
                clock=_clock,
                messages_a_minute=settings.messages_per_peer,
                at_once=settings.at_once_per_peer,
                guesses_an_hour=settings.invite_guesses_per_peer,
                measures=measures,
            ),
            InboxLimits(
                clock=_clock,
                per_recipient=settings.shares_per_recipient,
                of_unknown=settings.unknown_shares_per_peer,
                pending=settings.pending_per_recipient,
                in_all=settings.unanswered_shares,
                measures=measures,
            ),
            RequestLimits(
                clock=_clock,
                bounds=RequestBounds(
                    per_owner=settings.requests_per_owner,
                    pending=settings.pending_requests,
                    per_address=settings.link_requests_per_address,
                ),
                measures=measures,
            ),
        )


def trusted_proxies(settings: Settings) -> Callable[[str], bool]:
    """Whether an address is that of a proxy which `limits.trusted_proxies` names."""
    networks = [ipaddress.ip_network(text, strict=False) for text in settings.limits.trusted_proxies if text != UNIX]

    def trusts(address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in networks)

    return trusts
