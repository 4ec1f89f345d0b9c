"""A form that was refused is shown again, with what was typed and what is wrong with it, at the field."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from markupsafe import Markup

from opencloudmesh.protocol.errors import LocalFault, OCMError, PeerFault
from opencloudmesh.services.tracing import current_trace

_LONGEST: Final = 32 * 1024
_MARK: Final = Markup(' aria-invalid="true" aria-describedby="fault" autofocus')
_STATUS: Final = 404
"""Of what another server did or is: nothing is wrong here (see `web.errors`)."""


def status_of(error: OCMError) -> int:
    """The status of a page that says what went wrong."""
    return error.status if isinstance(error, LocalFault | PeerFault) else _STATUS


@dataclass(frozen=True, slots=True)
class Refused:
    """What was typed, and why it was not taken; `place`: the field, or the form with a number, that it is about."""

    fault: OCMError | None = None
    place: str = ""
    typed: Mapping[str, str] = field(default_factory=dict, repr=False)
    trace: str = ""

    @classmethod
    def at(cls, fault: OCMError, form: Mapping[str, str], place: str, by_code: Mapping[str, str] | None = None) -> Self:
        """Refuse a form for a fault at a place, or at another one for a code of `by_code`."""
        kept = {name: value[:_LONGEST] for name, value in form.items() if name != "csrf"}
        return cls(fault, (by_code or {}).get(fault.code, place), kept, current_trace() or "")

    @property
    def status(self) -> int:
        """The status of the page that shows the form again."""
        return 200 if self.fault is None else status_of(self.fault)

    def mark(self, place: str) -> Markup:
        """The attributes of the field that it is about, which is where the reader goes on; nothing for another one."""
        return _MARK if self.fault is not None and self.place == place else Markup("")


NOT_REFUSED: Final = Refused()
