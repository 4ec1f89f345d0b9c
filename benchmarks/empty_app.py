"""An ASGI app that does nothing, on the product's own server: what discovery is compared with."""

import sys
from typing import Any

from opencloudmesh.web.server import serve


async def empty(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def _serve(port: int) -> None:
    await serve(empty, host="127.0.0.1", port=port)


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve(int(sys.argv[1])))
