"""Open Cloud Mesh for Python: the protocol as a library, a server, a command line (draft-ietf-ocm-open-cloud-mesh-05)."""

__version__ = "0.1.0"
