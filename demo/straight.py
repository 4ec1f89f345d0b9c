"""A write asked straight of the Sending Server, past the Receiving Server's own gate, with a token fetched in its name."""

import asyncio
import time

from demo.servers import ServerProcess
from opencloudmesh.adapters.database import open_database
from opencloudmesh.adapters.http_client import GuardedHttpClient
from opencloudmesh.adapters.keys import load_secret_box, load_signing_key
from opencloudmesh.adapters.routes import RoutePolicy
from opencloudmesh.bootstrap import new_token
from opencloudmesh.protocol.code_flow import build_token_request, parse_token_answer
from opencloudmesh.protocol.http_signatures import Request, sign
from opencloudmesh.protocol.share_protocols import parse_protocols


def read_only_put(receiving: ServerProcess, sending: ServerProcess, provider_id: str) -> int:
    """The status of a PUT at the Sending Server with a valid token for a read-only share."""
    return asyncio.run(_put(receiving, sending, provider_id))


async def _put(receiving: ServerProcess, sending: ServerProcess, provider_id: str) -> int:
    secret = await _shared_secret(receiving, sending, provider_id)
    signer = load_signing_key(receiving.folder / "keys" / "signing.pem", receiving.host)
    route = RoutePolicy.parse("demo", hosts=["127.0.0.1"], networks=["127.0.0.0/8"], ports=[sending.port], plain_http=True)
    http = GuardedHttpClient([route])
    try:
        url = f"{sending.origin}/ocm/token"
        body = build_token_request(secret, receiving.host)
        content_type = "application/x-www-form-urlencoded"
        headers = sign(
            Request("POST", url, (("content-type", content_type),), body),
            keyid=signer.keyid,
            algorithm=signer.algorithm,
            sign=signer.sign,
            created=int(time.time()),
            nonce=new_token(),
        )
        answer = await http.fetch("POST", url, headers={"content-type": content_type, **dict(headers)}, body=body)
        token = parse_token_answer(answer.body).access_token
        put = await http.fetch(
            "PUT",
            f"{sending.origin}/dav/ocm/{provider_id}",
            headers={"authorization": f"Bearer {token}", "content-type": "text/plain"},
            body=b"Overwritten!\n",
        )
        return put.status
    finally:
        await http.aclose()


async def _shared_secret(receiving: ServerProcess, sending: ServerProcess, provider_id: str) -> str:
    """The share's secret, out of the Receiving Server's database."""
    box = load_secret_box(receiving.folder / "keys" / "secrets.key")
    database = open_database(f"sqlite:///{receiving.folder}/data/opencloudmesh.sqlite3", box, exclusive=False)
    try:
        shares = await database.read(lambda tx: tx.incoming_shares.by_provider_id(sending.host, provider_id))
        return parse_protocols(dict(shares[0].protocol)).shared_secret or ""
    finally:
        await database.aclose()
