"""The step homes of our own server: folders outside of its own that hold the files of users (`ocm user add --home`).

Rules kept here: each is looked at with the rights of this process, which are those of the server where both run as one user; one
that does not answer, as of a file server that is away, is told and not waited for.
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import PurePath
from typing import Final

from opencloudmesh.services.doctor.findings import Finding, Seen, fail, warn
from opencloudmesh.services.doctor.own_side import OwnFolder
from opencloudmesh.services.records import User

_SECONDS: Final = 3.0


async def look_at_homes(folder: OwnFolder) -> Seen:
    """Whether each is there and can be written to, and none lies in another."""
    database = await asyncio.to_thread(folder.database)
    users = [user for user in await database.read(lambda tx: tx.users.all()) if user.home and not user.disabled]
    by_home: dict[str, list[User]] = {}
    for user in users:
        by_home.setdefault(user.home, []).append(user)
    faults = await asyncio.gather(*(_fault(folder, home) for home in by_home))
    findings = [_unusable(home, by_home[home], fault) for home, fault in zip(by_home, faults, strict=True) if fault]
    findings += _nested(by_home)
    facts = {"homes": [{"path": home, "users": [user.name for user in owners]} for home, owners in by_home.items()]}
    return Seen(f"{len(by_home) or 'none'} outside of the data directory", facts, tuple(findings))


async def _fault(folder: OwnFolder, home: str) -> str:
    try:
        async with asyncio.timeout(_SECONDS):
            return await asyncio.to_thread(folder.fault_of_home, home)
    except TimeoutError:
        return f"It did not answer in {_SECONDS:g} seconds: is its file server away?"


def _unusable(home: str, owners: Sequence[User], fault: str) -> Finding:
    us = (
        "Mount it, give it to the user that runs the server, and name it in ReadWritePaths of the systemd unit."
        " Run this command as that user."
    )
    return fail("home-unusable", f"The files of {_names(owners)} in {home} cannot be used. {fault}", us=us)


def _nested(by_home: Mapping[str, Sequence[User]]) -> list[Finding]:
    us = "Give each a folder of its own, or all of them the same one: else they do not see each other's locks."
    findings = []
    for one, two in combinations(by_home, 2):
        if PurePath(one) in PurePath(two).parents or PurePath(two) in PurePath(one).parents:
            places = f"The files of {_names(by_home[one])} in {one} and those of {_names(by_home[two])} in {two}"
            findings.append(warn("homes-nested", f"{places} lie one in the other.", us=us))
    return findings


def _names(owners: Sequence[User]) -> str:
    return ", ".join(user.name for user in owners)
