"""Reading the Authorization header (RFC 6750, RFC 7617)."""

import base64
import binascii
from dataclasses import dataclass

from opencloudmesh.services.records import Secret


@dataclass(frozen=True, slots=True)
class Bearer:
    token: Secret


@dataclass(frozen=True, slots=True)
class Basic:
    name: str
    password: Secret


def presented(credentials: Bearer | Basic) -> tuple[str, ...]:
    """What may be the secret of a share: receivers put it in the name, the password, or both, with more colons behind it."""
    if isinstance(credentials, Bearer):
        return (credentials.token.reveal(),)
    return tuple(part for part in (credentials.name, credentials.password.reveal()) if part.strip(":"))


def parse_authorization(value: str | None) -> Bearer | Basic | None:
    """The credentials of an Authorization header, or None where there are none that we understand."""
    if value is None or len(value) > 8192:
        return None
    scheme, _, rest = value.partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer" and rest:
        return Bearer(Secret(rest))
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(rest, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    name, _, password = text.partition(":")
    return Basic(name, Secret(password))
