"""`ocm keys`: the keys that this server signs with, and changing them while it runs.

The commands work on the server's folder; a running server follows within a second.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Group, Parameter

from opencloudmesh.cli.beside import parts_of
from opencloudmesh.cli.formats import format_time
from opencloudmesh.cli.operator import HERE, Folder
from opencloudmesh.cli.peers import Reason, act_for
from opencloudmesh.cli.terminal import PARAMETERS, Output

if TYPE_CHECKING:
    from opencloudmesh.services.own_keys import OwnKeys
    from opencloudmesh.services.records import OwnKey

Kind = Literal["ed25519", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "rsa-pss-sha512", "rsa-v1_5-sha256"]
_COLUMNS = ("KID", "KIND", "STATE", "MADE", "SIGNS FROM", "PUBLISHED UNTIL", "FINGERPRINT")


def register(app: App, group: Group) -> None:
    """Add the commands of this module."""
    commands = App(name="keys", help="The keys that this server signs with.", group=group, default_parameter=PARAMETERS)
    commands.command(list_keys, name="list")
    commands.command(rotate)
    commands.command(retire)
    app.command(commands)


async def list_keys(*, folder: Folder = HERE, output: Output = Output()) -> None:
    """List the keys that are published: the one that signs, one that is announced, and old ones."""
    async with _own_keys(folder) as own:
        keys = await own.keys()
    rows = (
        (
            key.kid,
            key.algorithm,
            key.state,
            format_time(key.made_at),
            format_time(key.signs_from) if key.signs_from else "the beginning",
            "" if key.ends_at is None else format_time(key.ends_at),
            key.thumbprint,
        )
        for key in keys
    )
    output.terminal().table({"items": [_describe(key) for key in keys]}, _COLUMNS, rows, empty="There are no keys.")


async def rotate(
    *,
    kind: Kind = "ed25519",
    now: bool = False,
    reason: Reason = "",
    folder: Folder = HERE,
    output: Output = Output(),
) -> None:
    """Make a new key: it is published at once, signs an hour later, and the old one stays published for a day after that.

    Both spans are settings (signatures.key_lead_seconds, signatures.key_overlap_seconds). Nothing is lost, and nobody has to
    be told but those who pinned our keys.

    Parameters
    ----------
    kind
        What kind of key. Every server that verifies signatures takes ed25519.
    now
        Sign with it at once. Other servers refuse messages until they have fetched our keys again (this program does so at
        once); these are sent again. Where the old key is not safe, retire it then.
    """
    async with _own_keys(folder) as own:
        made = await own.rotate(kind, act_for(reason), now=now)
        keys = await own.keys()
    lines = [f"Made {made.kid} ({made.algorithm}), fingerprint {made.thumbprint}."]
    if made.state == "announced":
        lines.append(f"It is published now, and signs from {format_time(made.signs_from)} on.")
    else:
        lines.append("It is published now, and signs.")
    lines += [f"{key.kid} stays published until {format_time(key.ends_at)}." for key in keys if key.ends_at is not None]
    output.terminal().show({**_describe(made), "others": [_describe(key) for key in keys if key.kid != made.kid]}, *lines)


async def retire(
    kid: Annotated[str, Parameter(name="KID", help="The key (see: ocm keys list), or what follows the # in its name.")],
    /,
    *,
    reason: Reason = "",
    folder: Folder = HERE,
    output: Output = Output(),
) -> None:
    """Publish a key no more, at once, and remove its file: what was signed with it, access tokens too, counts no more.

    A key that was announced is taken back by this, and the old one goes on signing.
    """
    async with _own_keys(folder) as own:
        ended = await own.retire(kid, act_for(reason))
        keys = await own.keys()
    signs = next(key for key in keys if key.state == "signing")
    document = {**_describe(ended), "others": [_describe(key) for key in keys]}
    output.terminal().show(document, f"Retired {ended.kid}.", f"{signs.kid} signs.")


@asynccontextmanager
async def _own_keys(folder: Path) -> "AsyncIterator[OwnKeys]":
    async with parts_of(folder) as wiring:
        yield wiring.own_keys


def _describe(key: "OwnKey") -> dict[str, object]:
    return {
        "kid": key.kid,
        "thumbprint": key.thumbprint,
        "algorithm": key.algorithm,
        "state": key.state,
        "made_at": key.made_at,
        "signs_from": key.signs_from,
        "ends_at": key.ends_at,
    }
