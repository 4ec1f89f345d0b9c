"""What each version of the draft asks of a signature, as data.

-05: Appendix B, "Signing a Request". -07: section "HTTP Message Signatures", where the label has no meaning and the tag has.
"""

from dataclasses import dataclass
from typing import Final

LABEL: Final = "ocm"
TAG: Final = "ocm"


@dataclass(frozen=True, slots=True)
class Profile:
    """What one version of the draft asks of a signature; `label` or `tag` is what it knows the signature by.

    >>> DRAFT_05.names("ocm", None), DRAFT_07.names("ocm", None), DRAFT_07.names("sig1", "ocm")
    (True, False, True)
    """

    name: str
    label: str | None
    tag: str | None
    components: frozenset[str]
    parameters: frozenset[str]

    def names(self, label: str, tag: object) -> bool:
        """True where this profile takes a signature with this label and tag for the Open Cloud Mesh one."""
        return (self.label is None or self.label == label) and (self.tag is None or (isinstance(tag, str) and tag == self.tag))


DRAFT_05: Final = Profile(
    "draft-05",
    LABEL,
    None,
    frozenset({"@method", "@target-uri", "content-digest", "content-length", "date"}),
    frozenset({"created"}),
)
DRAFT_07: Final = Profile(
    "draft-07",
    None,
    TAG,
    frozenset({"@method", "@target-uri", "content-digest", "content-length"}),
    frozenset({"created", "keyid"}),
)
DEFAULT_PROFILES: Final = (DRAFT_05, DRAFT_07)
