"""Our own keys for operators: what is done, when the new key signs, and who did it."""

from pathlib import Path

import pytest

from opencloudmesh.adapters.keys import KeyFolder, KeyRing
from opencloudmesh.services.own_keys import OwnKeys
from opencloudmesh.services.peers import Act
from opencloudmesh.services.ports import Database
from tests.services.world import HOST, NOW, SimulatedTime

ACT = Act("operator root", "once a year")


@pytest.fixture
def own(tmp_path: Path, database: Database, time: SimulatedTime) -> OwnKeys:
    folder = KeyFolder(tmp_path / "keys", HOST)
    folder.make_first("ed25519", NOW - 1)
    return OwnKeys(ring=KeyRing(folder, time), database=database, clock=time, lead=3600.0, overlap=86400.0)


async def test_a_rotation_with_its_lead_and_overlap(own: OwnKeys) -> None:
    made = await own.rotate("ed25519", ACT)
    assert (made.state, made.signs_from, made.ends_at) == ("announced", NOW + 3600, None)
    old, new = await own.keys()
    assert (old.state, old.ends_at, new) == ("signing", NOW + 3600 + 86400, made)
    await own.retire(made.kid, ACT)
    assert [(key.kid, key.ends_at) for key in await own.keys()] == [(old.kid, None)]


async def test_every_act_is_recorded(own: OwnKeys, database: Database) -> None:
    (first,) = await own.keys()
    made = await own.rotate("ed25519", ACT, now=True)
    assert made.state == "signing"
    await own.retire(first.kid, ACT)
    acts = await database.read(lambda tx: tx.audit.find())
    assert [(act.actor, act.action, act.subject, act.before, act.after, act.reason) for act in reversed(acts)] == [
        ("operator root", "key-rotate", made.kid, "", "signing", "once a year"),
        ("operator root", "key-retire", first.kid, "superseded", "", "once a year"),
    ]


async def test_what_cannot_be_recorded_is_done(own: OwnKeys, database: Database) -> None:
    await database.aclose()
    made = await own.rotate("ed25519", ACT, now=True)
    assert (await own.keys())[-1].kid == made.kid
