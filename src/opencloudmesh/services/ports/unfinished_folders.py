"""What is remembered of folders that are being made across two trees."""

from collections.abc import Sequence
from typing import Protocol

from opencloudmesh.services.records import UnfinishedFolder


class UnfinishedFolderStore(Protocol):
    """Rows of folders; `holder` is the name of the process that makes one, or sees to what was left."""

    def add(self, folder: UnfinishedFolder, holder: str, at: float) -> None: ...
    def remove(self, folder: UnfinishedFolder) -> None:
        """It is finished, or gone."""

    def remove_old(self, before: float) -> None:
        """Forget those that were begun before that."""

    def holders(self) -> Sequence[str]: ...
    def take_over(self, whose: str, holder: str) -> None:
        """What one process had is another's now."""

    def of(self, holder: str, *, limit: int) -> Sequence[UnfinishedFolder]:
        """Those of one process, the oldest first."""
