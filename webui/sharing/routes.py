"""GET /shared/WORD, and the images in it: a conversation as its owner shows it; where people log in, to those
who have."""

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from common.database import StoreFailed
from common.doors import door
from webui.answer_feed import assets_address
from webui.files.routes import FileId, file_response
from webui.sharing.page import gone_html, shared_html
from webui.store.files import Files
from webui.store.shares import Shares
from webui.texts import language, text

HEADERS = {"cache-control": "no-store", "x-robots-tag": "noindex"}


def add_sharing(app: FastAPI, shares: Shares, files: Files) -> None:
    """Put the routes into `app`."""

    @app.get("/shared/{word}")
    @door("public")
    async def shared(request: Request, word: str) -> Response:
        lang = language(request.headers.get("accept-language"))
        try:
            found = await shares.find(word)
        except StoreFailed:
            return PlainTextResponse(text(lang, "store_failed"), 503, HEADERS)
        if found is None:
            return HTMLResponse(gone_html(lang), 404, HEADERS)
        return HTMLResponse(shared_html(found, lang, f".{assets_address()}/shared.js", word), 200, HEADERS)

    @app.get("/shared/{word}/files/{file_id}")
    @door("public")
    async def shared_file(word: str, file_id: FileId) -> Response:
        try:
            return file_response(await files.shared(word, file_id))
        except StoreFailed:
            return Response(status_code=503)
