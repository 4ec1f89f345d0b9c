"""Other servers: their discovery documents and keys, who signed a request, and signed requests to them.

Sections "OCM API Discovery" and "Appendix B". Rules kept here:

- what was decided about a server comes before any request to it (TRUST-1);
- documents and keys are fetched once for many waiters and cached for a bounded time; those of servers that we have dealt with
  are kept in the database, a stranger that somebody names leaves nothing there;
- a failed fetch is remembered for some seconds, or until the server is heard of; an unknown kid makes us fetch a key set again
  at a bounded rate (SIG-11);
- a signature counts once: (keyid, signature) is remembered for the freshness window;
- what is noted about a server is for people to read: where it cannot be written, the exchange goes on.
"""

from opencloudmesh.services.peers.decisions import Act, TrustDecisions
from opencloudmesh.services.peers.peers import GONE, Peers
from opencloudmesh.services.peers.registry import PeerRegistry
from opencloudmesh.services.peers.strangers import Strangers
from opencloudmesh.services.peers.trust import FederationMembers, TrustBook
from opencloudmesh.services.peers.trust_watch import TrustWatch

__all__ = ["GONE", "Act", "FederationMembers", "PeerRegistry", "Peers", "Strangers", "TrustBook", "TrustDecisions", "TrustWatch"]
