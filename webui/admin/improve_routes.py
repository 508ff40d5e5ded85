"""/admin/improve: how far turns of `kodolly improve` have come."""

from collections.abc import Callable
from datetime import UTC, datetime

from fastapi import FastAPI, Request
from fastapi.responses import Response

from common.doors import door
from webui.admin.desk import Desk
from webui.admin.improve import read_turns
from webui.admin.improve_html import improve_html
from webui.gateway_client import GatewayClient
from webui.texts import Lang


def add_improve(app: FastAPI, client: GatewayClient, allowed: Callable[[Request], bool]) -> None:
    """The route. `allowed` tells an administrator's request; `client` asks with their key."""

    async def draw(_request: Request, lang: Lang) -> str:
        return improve_html(lang, await read_turns(client), datetime.now(UTC))

    desk = Desk(client, allowed, "improve", draw)

    @app.get("/admin/improve")
    @door("public")
    async def show(request: Request) -> Response:
        return await desk.answer(request)
