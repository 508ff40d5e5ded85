"""The web UI's app in this process, before a gateway that is away; no browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

import httpx2


@asynccontextmanager
async def page_client(
    state_dir: Path, host: str = "127.0.0.1", *, running: bool = True
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of it, as a browser on the same machine; what it stores lies in `state_dir`. `host`: where it
    says that it listens. One that is not `running` begins nothing by itself."""
    from webui.app import create_app
    from webui.settings import WebuiSettings

    app = create_app(WebuiSettings(state_dir=state_dir, gateway_url="http://127.0.0.1:9", host=host))
    transport = httpx2.ASGITransport(app)
    # Its end waits for what it has begun: an answer on its way would be thrown away with the test's loop.
    background = app.router.lifespan_context(app) if running else nullcontext()
    async with (
        background,
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as made,
    ):
        yield made
