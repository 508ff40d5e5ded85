"""The administrators' screens in this process, before a gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from fastapi import FastAPI

from webui.admin.routes import add_admin
from webui.gateway_client import GatewayClient

ADMIN = "admin-token"
AS_ADMIN = {"authorization": f"Bearer {ADMIN}"}


@asynccontextmanager
async def pages(gateway: str, key: str | None, *, allowed: bool = True) -> AsyncIterator[httpx2.AsyncClient]:
    """The page as it is with this key of the gateway's."""
    client, app = GatewayClient(gateway, key), FastAPI()
    add_admin(app, client, lambda _request: allowed)
    transport = httpx2.ASGITransport(app)
    try:
        async with httpx2.AsyncClient(transport=transport, base_url="http://page") as made:
            yield made
    finally:
        await client.aclose()


async def send(page: httpx2.AsyncClient, path: str, **fields: str) -> httpx2.Response:
    return await page.post(path, files={name: (None, value) for name, value in fields.items()})
