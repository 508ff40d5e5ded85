"""An ASGI app on a real socket of this process, for tests of what lies below ASGI."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn


@contextmanager
def serving(app: Any, protocol: type[asyncio.Protocol]) -> Iterator[str]:
    """The app's URL; it is served in a thread with a loop of its own while the block runs."""
    config = uvicorn.Config(
        app, port=0, loop="uvloop", log_level="critical", lifespan="off", ws="none", http=protocol
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
        assert thread.is_alive()
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
