"""/page/files: what is put beside a question is kept here first; the question then names its id."""

import asyncio
from typing import Annotated
from urllib.parse import quote

from fastapi import FastAPI, Path, Request, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from common.database import StoreFailed
from common.doors import door
from webui.files.reading import FILE_BYTES, ReadPaper, Unfit, read_file
from webui.session import sender
from webui.store.files import Files, KeptFile
from webui.texts import language, text

UPLOAD_BYTES = FILE_BYTES + 64 * 1024
"""With the form around it."""
AT_ONCE = 2
"""Files that are read: a PDF may take a process with a gigabyte for half a minute."""
FileId = Annotated[str, Path(pattern=r"^[0-9a-f-]{36}$")]
HEADERS = {
    "cache-control": "private, max-age=3600",
    # A file that is opened by itself runs nothing and loads nothing.
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
}


def add_files(app: FastAPI, files: Files, paper: ReadPaper | None) -> None:
    """Put the routes into `app`. `paper` reads PDFs; without it none are taken."""
    reading = asyncio.Semaphore(AT_ONCE)

    @app.post("/page/files")
    @door("public", content="form", body_bytes=UPLOAD_BYTES)
    async def keep(request: Request, file: UploadFile) -> Response:
        user = sender(request.headers.get("cookie"), request.state)
        lang = language(request.headers.get("accept-language"))
        if user is None:
            return PlainTextResponse(text(lang, "no_cookie"), 401)
        try:
            content = await file.read()
            async with reading:
                read = await asyncio.to_thread(read_file, file.filename or "", content, paper)
            made = await files.keep(user, read)
        except Unfit as error:
            said = text(lang, error.key, name=file.filename or "", reason=error.reason)
            return PlainTextResponse(said, 422)
        except StoreFailed:
            return PlainTextResponse(text(lang, "store_failed"), 503)
        return JSONResponse({"id": made, "kind": read.kind, "name": read.name})

    @app.get("/page/files/{file_id}")
    @door("public")
    async def get(request: Request, file_id: FileId) -> Response:
        user = sender(request.headers.get("cookie"), request.state)
        try:
            return file_response(await files.find(user, file_id) if user else None)
        except StoreFailed:
            return Response(status_code=503)


def file_response(found: KeptFile | None) -> Response:
    """A file for a browser, by the type that was found in it."""
    if found is None:
        return Response(status_code=404)
    named = f"inline; filename*=UTF-8''{quote(found.name, safe='')}"
    charset = "; charset=utf-8" if found.type.startswith("text/") else ""
    headers = HEADERS | {"content-disposition": named, "content-type": found.type + charset}
    return Response(found.content, headers=headers)
