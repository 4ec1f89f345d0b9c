"""Requests for shares, from both sides, and public links for visitors (sections Request for a Share, Public Invite Flow).

- `sending`: our user asks somebody at another server; the request is delivered as all messages are.
- `granted`: the share that comes is the answer: the draft has no other, so a refusal and silence look alike to who asked.
- `reception`: somebody asks our user, who grants or refuses. All are answered 201, whatever resource is named, which is
  not looked for; strangers whatever owner is named, too.
- `links`: any visitor who has a link enters an OCM Address, as a request to its owner or, where the owner said so, as the very
  gesture that shares.
"""

from opencloudmesh.services.share_request.granted import note_granted
from opencloudmesh.services.share_request.limits import RequestLimits
from opencloudmesh.services.share_request.links import MadeLink, OpenLink, RequestLinks
from opencloudmesh.services.share_request.reception import RequestReception
from opencloudmesh.services.share_request.sending import SHARE_REQUEST, RequestSending

__all__ = [
    "SHARE_REQUEST",
    "MadeLink",
    "OpenLink",
    "RequestLimits",
    "RequestLinks",
    "RequestReception",
    "RequestSending",
    "note_granted",
]
