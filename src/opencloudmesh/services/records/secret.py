"""A secret that is not shown."""

from typing import Any, Self


class Secret:
    """A shared secret, token or password: never printed, compared in constant time by its users, read by `reveal()`.

    That of a stored row is opened by `reveal()`, which raises `LocalFault` (seal-broken) where it cannot.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself; call it only where it leaves for its purpose."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self.reveal()

    def __hash__(self) -> int:
        return hash(self.reveal())

    def __reduce__(self) -> Any:
        raise TypeError("a Secret is not pickled")

    def __copy__(self) -> Self:
        return self
