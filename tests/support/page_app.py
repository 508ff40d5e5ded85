"""The web UI's app, or a page alone, in this process, before a gateway that is away; no browser."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

if TYPE_CHECKING:  # what brings Gradio along, which takes seconds
    from fastapi import FastAPI

    from webui.settings import WebuiSettings


class _NoServer:
    """In place of the one that Gradio makes at the end of each page, and that nobody asks: `mount_gradio_app`
    makes the one that serves all of them."""

    @staticmethod
    def create_app(*_: object, **__: object) -> None:
        """Seven tenths of the time that an app takes."""


def made_app(settings: "WebuiSettings") -> "FastAPI":
    """The web UI, as its process makes it."""
    from webui.app import create_app

    with _without_servers():
        return create_app(settings)


@contextmanager
def page_alone() -> Iterator[None]:
    """What is built within the block is on a page, which no app serves."""
    import gradio as gr

    with _without_servers(), gr.Blocks(analytics_enabled=False):
        yield


@contextmanager
def _without_servers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gradio.blocks.App", _NoServer)
        yield


@asynccontextmanager
async def page_client(
    state_dir: Path, host: str = "127.0.0.1", *, running: bool = True
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of it, as a browser on the same machine; what it stores lies in `state_dir`. `host`: where it
    says that it listens. One that is not `running` begins nothing by itself."""
    from webui.settings import WebuiSettings

    app = made_app(WebuiSettings(state_dir=state_dir, gateway_url="http://127.0.0.1:9", host=host))
    transport = httpx2.ASGITransport(app)
    # Its end waits for what it has begun: an answer on its way would be thrown away with the test's loop.
    background = app.router.lifespan_context(app) if running else nullcontext()
    async with (
        background,
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as made,
    ):
        yield made
