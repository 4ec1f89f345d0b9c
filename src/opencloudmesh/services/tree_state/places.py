"""A folder of a tree as the root of what somebody sees of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """The folder (or file) `root` of the tree `tree`; "" is the whole of it."""

    tree: str
    root: str = ""

    def down(self, path: str) -> str:
        """The path in the tree."""
        if not self.root:
            return path
        return f"{self.root}/{path}" if path else self.root

    def up(self, path: str) -> str:
        """The path seen from here; "" for what lies above."""
        if not self.root:
            return path
        return path[len(self.root) + 1 :] if path.startswith(f"{self.root}/") else ""
