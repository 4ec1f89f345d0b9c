"""All words that stand on the wire: capabilities, criteria, permissions, requirements, types.

Sections "OCM API Discovery: Fields", "Share Creation Notification: Fields", "Share Acceptance Notification: Fields".
Open registries are strings: a word that is not listed here is kept, never refused for being unknown, unless the
section that uses it says so.
"""

from typing import Final

API_VERSION: Final = "1.4.0"

# OCM API Discovery: capabilities
ENFORCE_MFA: Final = "enforce-mfa"
EXCHANGE_TOKEN: Final = "exchange-token"
HTTP_SIG: Final = "http-sig"
INVITES: Final = "invites"
NOTIFICATIONS: Final = "notifications"
INVITE_WAYF: Final = "invite-wayf"
PROTOCOL_OBJECT: Final = "protocol-object"

# OCM API Discovery: criteria
MUST_USE_HTTP_SIG: Final = "must-use-http-sig"
MUST_EXCHANGE_TOKEN: Final = "must-exchange-token"  # also a requirement of a share
DENYLIST: Final = "denylist"
ALLOWLIST: Final = "allowlist"
MUST_INVITE: Final = "must-invite"

# Share Creation Notification: requirements
MUST_USE_MFA: Final = "must-use-mfa"
REQUIREMENTS: Final = frozenset({MUST_EXCHANGE_TOKEN, MUST_USE_MFA})

# Share Creation Notification: types
USER: Final = "user"
GROUP: Final = "group"
FEDERATION: Final = "federation"
SHARE_TYPES: Final = frozenset({USER, GROUP, FEDERATION})
FILE: Final = "file"
FOLDER: Final = "folder"

# Share Creation Notification: protocols
MULTI: Final = "multi"
WEBDAV: Final = "webdav"
WEBAPP: Final = "webapp"
SSH: Final = "ssh"
RECEIVE_SUFFIX: Final = "-receive"

# webdav details
READ: Final = "read"
WRITE: Final = "write"
SHARE: Final = "share"
WEBDAV_PERMISSIONS: Final = frozenset({READ, WRITE, SHARE})
REMOTE: Final = "remote"
DATATX: Final = "datatx"
ACCESS_TYPES: Final = frozenset({REMOTE, DATATX})
ABSOLUTE: Final = "absolute"
RELATIVE: Final = "relative"

# webapp details
VIEW: Final = "view"
WEBAPP_PERMISSIONS: Final = frozenset({VIEW, READ, WRITE, SHARE})
BLANK: Final = "blank"
IFRAME: Final = "iframe"
WEBAPP_TARGETS: Final = frozenset({BLANK, IFRAME})

# Share Acceptance Notification: notification types
SHARE_ACCEPTED: Final = "SHARE_ACCEPTED"
SHARE_DECLINED: Final = "SHARE_DECLINED"
SHARE_UNSHARED: Final = "SHARE_UNSHARED"
USER_REMOVED: Final = "USER_REMOVED"

# Code Flow
AUTHORIZATION_CODE: Final = "authorization_code"
