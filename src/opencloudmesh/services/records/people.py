"""Users of this server, and what they log in with."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class User:
    """`name` is the login name and an identifier of the OCM Address; `email`, which may be empty, is told to contacts."""

    id: int
    name: str
    display_name: str
    password_hash: str = field(repr=False)
    disabled: bool
    created_at: float
    admin: bool = False
    quota: int | None = None
    """In bytes; 0 is none, and None that of the configuration."""
    home: str = ""
    """The folder with the user's files, where that is none of the data directory."""
    email: str = ""
    invite_only: str = "off"
    """What becomes of shares of people whom the user does not know: one of `trust.DEMANDS`, if the server is not stricter."""


@dataclass(frozen=True, slots=True)
class Session:
    """A login session; only the SHA-256 of its token is stored."""

    token_hash: bytes = field(repr=False)
    user_id: int
    created_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class AppPassword:
    """What one client of a user logs in with; the secret itself is stored as a keyed hash only.

    `last_used_at` is None until it was used, and some minutes behind after that.
    """

    id: int
    user_id: int
    name: str
    created_at: float
    last_used_at: float | None
