"""/admin/review: feedback is looked through, left out of results and trainings, and noted on."""

from collections.abc import Callable
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import Response

from common.doors import door
from webui.admin.desk import FORM_BYTES, Desk, Form
from webui.admin.frame import Notice
from webui.admin.review import read_page, review_wishes, wanted_in
from webui.admin.review_html import review_html
from webui.gateway_client import GatewayClient
from webui.texts import Lang


def add_review(app: FastAPI, client: GatewayClient, allowed: Callable[[Request], bool]) -> None:
    """The routes. `allowed` tells an administrator's request; `client` asks with their key."""

    async def draw(request: Request, lang: Lang) -> str:
        wanted = wanted_in(await _asked(request))
        return review_html(lang, wanted, await read_page(client, wanted))

    async def review(form: Form, row_id: str) -> Notice:
        kind, key_id = wanted_in(form).kind, form.get("key_id", "")
        path = f"/admin/feedback/{kind}/{quote(key_id, safe='')}/{quote(row_id, safe='')}"
        await client.send("PUT", path, review_wishes(form))
        return Notice("review_saved", good=True, values={})

    desk = Desk(client, allowed, "review", draw)

    @app.get("/admin/review")
    @door("public")
    async def show(request: Request) -> Response:
        return await desk.answer(request)

    @app.post("/admin/review/{row_id}")
    @door("public", content="form", body_bytes=FORM_BYTES)
    async def change(request: Request) -> Response:
        return await desk.answer(request, review)


async def _asked(request: Request) -> dict[str, str]:
    """The page that somebody looks at: a form leads back to the one that it stood on."""
    if request.method != "POST":
        return dict(request.query_params)
    sent = await request.form()
    named = {"kind": "kind", "excluded": "show", "after": "after"}
    return {name: str(sent.get(field, "")) for name, field in named.items()}
