"""The protocol: what draft-ietf-ocm-open-cloud-mesh-05 says, decided from values; no I/O, no clock, no randomness."""
