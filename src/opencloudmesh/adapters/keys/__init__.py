"""Our own keys: the ring of those that sign (Appendix B), and the one that seals secrets at rest (design decision 7).

Rules kept here: a key file is readable by nobody but the server's user and is never overwritten; nothing private appears in a
repr or an error.
"""

from opencloudmesh.adapters.keys.cavage_key import CavageKey, load_cavage_key
from opencloudmesh.adapters.keys.key_files import KeyUnusable
from opencloudmesh.adapters.keys.key_folder import KeyFolder
from opencloudmesh.adapters.keys.key_ring import KeyRing
from opencloudmesh.adapters.keys.metrics_token import create_metrics_token, load_metrics_token
from opencloudmesh.adapters.keys.secret_box import SealBroken, SecretBox, create_secret_key, load_secret_box
from opencloudmesh.adapters.keys.signing_key import SigningKey, create_signing_key, load_signing_key

__all__ = [
    "CavageKey",
    "KeyFolder",
    "KeyRing",
    "KeyUnusable",
    "SealBroken",
    "SecretBox",
    "SigningKey",
    "create_metrics_token",
    "create_secret_key",
    "create_signing_key",
    "load_cavage_key",
    "load_metrics_token",
    "load_secret_box",
    "load_signing_key",
]
