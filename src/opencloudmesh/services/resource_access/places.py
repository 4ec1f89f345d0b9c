"""Which tree holds a path of a user: the own one, or that of a received share below "Shared with me"."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from opencloudmesh.protocol.errors import NotFound
from opencloudmesh.protocol.registries import FOLDER
from opencloudmesh.protocol.share_request import RECEIVED_FOLDER
from opencloudmesh.services.ports import Properties, RemoteTree
from opencloudmesh.services.records import IncomingShare
from opencloudmesh.services.resource_access.received import ReceivedShares

PREFIX = RECEIVED_FOLDER + "/"


@dataclass(frozen=True, slots=True)
class Place:
    """A tree, the path at which it stands among the user's files ("" for the own one), and a path inside of it."""

    tree: RemoteTree
    at: str
    inside: str

    def out(self, inside: str) -> str:
        """A path of the tree as the user sees it."""
        return f"{self.at}/{inside}" if self.at and inside else self.at or inside


class Places:
    """Finds them for one request; a received share is opened once, when it is first needed."""

    def __init__(self, own: RemoteTree, shares: Mapping[str, IncomingShare], received: ReceivedShares) -> None:
        self.own = own
        self.shares = shares
        self.received = received
        self.carried: dict[tuple[str, str], Mapping[str, Properties]] = {}
        """Dead properties of what was moved from tree to tree, by source and target; paths are relative to the target."""
        self._tokens: Collection[str] = ()
        self._opened: dict[str, RemoteTree] = {}

    def submit(self, tokens: Collection[str]) -> None:
        """Lock tokens of the request, for every tree that it works on."""
        self._tokens = tokens
        for tree in (self.own, *self._opened.values()):
            tree.locks.submit(tokens)

    def is_below_file(self, path: str) -> bool:
        """Whether it leads through a received share that is one file."""
        mount, slash, _ = path[len(PREFIX) :].partition("/")
        share = self.shares.get(mount) if path.startswith(PREFIX) else None
        return bool(slash) and share is not None and share.resource_type != FOLDER

    async def of(self, path: str) -> Place:
        """Raises `NotFound`, and what `ReceivedShares.open` raises."""
        if not path.startswith(PREFIX):
            return Place(self.own, "", path)
        mount, _, inside = path[len(PREFIX) :].partition("/")
        share = self.shares.get(mount)
        if share is None:
            raise NotFound("There is no such received share.", code="not-found")
        if self.is_below_file(path):  # its own server finds it there, by its name
            raise NotFound("There is nothing below a file.", code="not-found")
        if mount not in self._opened:
            tree = self._opened[mount] = await self.received.open(share)
            if self._tokens:
                tree.locks.submit(self._tokens)
        return Place(self._opened[mount], PREFIX + mount, inside)
