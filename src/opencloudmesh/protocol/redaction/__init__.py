"""What may be kept of an exchange: URLs, headers and bodies without anything that opens something (CODE-7, SHARE-10).

Rules kept here:

- what stands where secrets stand (`sharedSecret`, `code`, `Authorization`, `?token=` ...) is replaced by `***`, in JSON of any
  depth and in forms; names are compared without case and signs, so that `shared_secret` and `X-Access-Token` are found too;
- every such value of an exchange is looked for in all the rest of it: a peer that echoes a secret does not betray it;
- headers whose meaning we do not know are named, and their values not kept; nor is a body that is neither JSON nor a form: its
  type and length stand for it;
- as a safety net, whatever looks like a token is replaced wherever it stands: a JWT as a whole; of 24 or more letters and digits
  in a row the first six stay: identifiers of shares look like that too, and six are enough to find one and to guess nothing.
"""

from opencloudmesh.protocol.redaction.bodies import NO_BODY, PARSED_BYTES, Body
from opencloudmesh.protocol.redaction.exchange import Redacted, Wire, redact, redact_url
from opencloudmesh.protocol.redaction.secret_names import is_secret_name
from opencloudmesh.protocol.redaction.texts import HIDDEN, redact_text

__all__ = [
    "HIDDEN",
    "NO_BODY",
    "PARSED_BYTES",
    "Body",
    "Redacted",
    "Wire",
    "is_secret_name",
    "redact",
    "redact_text",
    "redact_url",
]
