"""docs/vectors is current, and each vector is what it says."""

import datetime
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import http_message_signatures as independent
import pytest

from opencloudmesh.protocol.errors import PeerRefused, SignatureRefused
from opencloudmesh.protocol.http_signatures import DRAFT_05, DRAFT_07, Profile, Request, read_signature, verify
from opencloudmesh.protocol.jwks import ALGORITHMS, KeySet, parse_key_set
from tests.protocol.signed_requests import VECTORS

PUBLISHED = VECTORS.parent.parent / "docs/vectors"
KEYS: KeySet = parse_key_set((PUBLISHED / "keys.json").read_bytes())
FILES = {profile: json.loads((PUBLISHED / f"{profile.name}.json").read_text("utf-8")) for profile in (DRAFT_05, DRAFT_07)}
TAKEN_BY_ONE = {DRAFT_05: {"second-ocm-tag", "ocm-label-and-ocm-tag-apart"}, DRAFT_07: set()}


@pytest.fixture(scope="module")
def signature_vectors(script: Any) -> ModuleType:
    module: ModuleType = script("signature_vectors")
    return module


def test_the_files_are_current(signature_vectors: ModuleType) -> None:
    stale = [name for name, text in signature_vectors.render().items() if (PUBLISHED / name).read_text("utf-8") != text]
    assert stale == [], "run `make docs`"


def vectors(valid: bool) -> list[Any]:
    return [
        pytest.param(profile, vector, id=f"{profile.name}-{vector['name']}")
        for profile, file in FILES.items()
        for vector in file["vectors"]
        if vector["valid"] is valid
    ]


def verified(profile: Profile, vector: dict[str, Any]) -> Any:
    file = FILES[profile]
    headers = tuple((name, value) for name, value in vector["headers"])
    request = Request(vector["method"], vector["target_uri"], headers, vector["body"].encode())
    received = read_signature(request, (profile,))
    tolerances = {"freshness": file["freshness_seconds"], "skew": file["skew_seconds"]}
    found = verify(request, KEYS, now=file["now"], profiles=(profile,), host=file["server"], **tolerances)
    return found, received


@pytest.mark.spec("SIG-2", "NEXT-1")
@pytest.mark.parametrize(("profile", "vector"), vectors(True))
def test_valid_vectors_hold_and_their_base_is_what_was_signed(profile: Profile, vector: dict[str, Any]) -> None:
    found, received = verified(profile, vector)
    key = KEYS.keys[vector["keyid"]]
    assert found.keyid == vector["keyid"]
    assert key.verifies(key.algorithms[0], received.signature, "\n".join(vector["signature_base"]).encode())


@pytest.mark.spec("SIG-5")
@pytest.mark.parametrize(("profile", "vector"), vectors(False))
def test_invalid_vectors_are_refused(profile: Profile, vector: dict[str, Any]) -> None:
    with pytest.raises(SignatureRefused) as refused:
        verified(profile, vector)
    assert refused.value.code == vector["code"]


def stems(folder: str) -> set[str]:
    return {path.stem for path in Path(VECTORS / folder).glob("*.http") if b"<<" not in path.read_bytes()}


@pytest.mark.parametrize("profile", FILES)
def test_what_is_bad_is_invalid_and_every_kind_of_key_is_there(profile: Profile) -> None:
    valid = {vector["name"] for vector in FILES[profile]["vectors"] if vector["valid"]}
    invalid = {vector["name"] for vector in FILES[profile]["vectors"] if not vector["valid"]}
    assert valid & stems("bad/signatures") == TAKEN_BY_ONE[profile]
    assert stems("bad/signatures") <= valid | invalid
    assert {f"{form}-{algorithm}" for form in ("both-drafts", profile.name) for algorithm in ALGORITHMS} <= valid
    assert len(invalid) > 90


@pytest.mark.parametrize(
    "vector",
    [pytest.param(one, id=one["name"]) for one in json.loads((PUBLISHED / "bad-key-sets.json").read_text("utf-8"))["vectors"]],
)
def test_nothing_of_a_bad_key_set_is_used(vector: dict[str, Any]) -> None:
    document = vector["document"].encode()
    if "code" in vector:
        with pytest.raises(PeerRefused) as refused:
            parse_key_set(document)
        assert refused.value.code == vector["code"]
    else:
        keys = parse_key_set(document)
        assert (dict(keys.keys), dict(keys.refused)) == ({}, vector["refused"])
        assert vector["refused"]


# ---------------------------------------------------------------- for another implementation they hold too
OTHER_ALGORITHMS: dict[str, type[independent.HTTPSignatureAlgorithm]] = {
    "ed25519": independent.algorithms.ED25519,
    "ecdsa-p256-sha256": independent.algorithms.ECDSA_P256_SHA256,
    "ecdsa-p384-sha384": independent.algorithms.ECDSA_P384_SHA384,
    "rsa-pss-sha512": independent.algorithms.RSA_PSS_SHA512,
    "rsa-v1_5-sha256": independent.algorithms.RSA_V1_5_SHA256,
}


class OtherKeys(independent.HTTPSignatureKeyResolver):
    def resolve_public_key(self, key_id: str) -> Any:
        return KEYS.keys[key_id].public_key

    def resolve_private_key(self, key_id: str) -> Any:
        raise NotImplementedError


class OtherMessage:
    """A request as the other implementation wants it."""

    def __init__(self, vector: dict[str, Any]) -> None:
        self.method, self.url, self.headers = vector["method"], vector["target_uri"], dict(vector["headers"])


NOT_THEIRS = {
    "expires-later",
    "unknown-digest-beside",
    "another-signature-beside",
    "ocm-label-and-ocm-tag-apart",
    "second-ocm-tag",
}
"""That implementation asks its own clock, refuses digests that it does not know, and takes one line and one key for all."""


@pytest.mark.parametrize(("profile", "vector"), [param for param in vectors(True) if param.values[1]["name"] not in NOT_THEIRS])
def test_another_implementation_takes_what_is_valid(profile: Profile, vector: dict[str, Any]) -> None:
    algorithm = OTHER_ALGORITHMS[KEYS.keys[vector["keyid"]].algorithms[0]]
    verifier = independent.HTTPMessageVerifier(signature_algorithm=algorithm, key_resolver=OtherKeys())
    found = verifier.verify(
        OtherMessage(vector),
        max_age=datetime.timedelta(days=36500),
        expect_tag="ocm" if profile is DRAFT_07 else None,
        body=vector["body"].encode(),
    )
    assert vector["keyid"] in [result.parameters["keyid"] for result in found]
