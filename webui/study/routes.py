"""GET /study, what its script asks for below /study/api, and a study's judgements as files."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, get_args

from fastapi import APIRouter, FastAPI, Form, Path, Request, UploadFile
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from common.database import StoreFailed
from common.doors import door
from common.feedback import Choice
from webui.login.visitor import visitor_of
from webui.results.downloads import MaskRow
from webui.session import NoCookie, sender
from webui.store.page_store import PageStore
from webui.study.desk import NotThere, StudyDesk, StudyRefused
from webui.study.files import FileForm, file_name, study_file
from webui.study.page import study_html
from webui.study.plan import StudyKind, TaskJudgement
from webui.study.prompts_file import FILE_BYTES, BadRow, read_prompts
from webui.texts import Lang, language, text

TOLD_BAD_ROWS = 20
"""Most lines of a file that are told one by one."""
FORM_BYTES = FILE_BYTES + 64 * 1024
HEADERS = {"cache-control": "no-store", "referrer-policy": "same-origin"}
Handler = Callable[..., Awaitable[Any]]
PlainId = Annotated[str, Path(max_length=36)]


class SaidOfAnswers(BaseModel):
    """A judgement as the page sends it."""

    model_config = ConfigDict(extra="forbid")
    choice: Choice | None = None
    scores: list[Annotated[int, Field(ge=1, le=5)]] = Field(default=[], max_length=10)
    seconds: float = Field(ge=0, le=10**6, allow_inf_nan=False)
    """How long it took, without idle time."""


class ChangedStudy(BaseModel):
    """Whether raters are given anything of it."""

    open: bool


class NotAdmin(Exception):
    """It is for administrators."""


@dataclass(frozen=True)
class StudyParts:
    """What the routes work with."""

    desk: StudyDesk
    store: PageStore
    administers: Callable[[Request], bool]
    mask: MaskRow | None
    """Covers personal data in files."""


def add_studies(app: FastAPI, studies: StudyParts, links: tuple[str, ...]) -> None:
    """Put the routes into `app`. `links`: which of account and admin the page's header has."""

    @app.get("/study")
    @door("public")
    async def page(request: Request) -> Response:
        visitor = visitor_of(request.state)
        alone = visitor is not None and visitor.role == "rater"
        shown = tuple(link for link in links if link == "account" or not alone)
        user = sender(request.headers.get("cookie"), request.state)
        return HTMLResponse(study_html(_lang(request), shown, user, alone=alone), headers=HEADERS)

    router = APIRouter(prefix="/study/api")
    for add in (_add_queue, _add_tasks, _add_making, _add_administration):
        add(router, studies)
    app.include_router(router)
    _add_files(app, studies)


def _add_queue(router: APIRouter, studies: StudyParts) -> None:
    desk = studies.desk

    @router.get("/studies")
    @door("public")
    @_told
    async def overview(request: Request) -> Any:
        return await desk.overview(_user(request), admin=studies.administers(request))

    @router.post("/studies/{study_id}/next")
    @door("public")
    @_told
    async def next_task(request: Request, study_id: PlainId) -> Any:
        return await desk.next(study_id, _user(request), _lang(request))

    @router.get("/studies/{study_id}/last")
    @door("public")
    @_told
    async def last_task(request: Request, study_id: PlainId) -> Any:
        return await desk.last(study_id, _user(request))


def _add_tasks(router: APIRouter, studies: StudyParts) -> None:
    desk = studies.desk

    @router.put("/tasks/{task_id}")
    @door("public")
    @_told
    async def judge(request: Request, task_id: PlainId, said: SaidOfAnswers) -> Any:
        lang = _lang(request)
        judgement = TaskJudgement(choice=said.choice, scores=tuple(said.scores), locale=lang)
        return await desk.judge(task_id, _user(request), judgement, said.seconds, lang)

    @router.post("/tasks/{task_id}/hold")
    @door("public")
    @_told
    async def hold(request: Request, task_id: PlainId) -> Any:
        await desk.hold(task_id, _user(request))
        return {}

    @router.post("/tasks/{task_id}/leave")
    @door("public")
    @_told
    async def leave(request: Request, task_id: PlainId) -> Any:
        await desk.leave(task_id, _user(request))
        return {}


def _add_making(router: APIRouter, studies: StudyParts) -> None:
    desk = studies.desk

    @router.post("/studies")
    @door("public", content="form", body_bytes=FORM_BYTES)
    @_told
    async def make(
        request: Request,
        file: UploadFile,
        name: Annotated[str, Form(max_length=200)],
        kind: Annotated[StudyKind, Form()],
        models: Annotated[list[str], Form(max_length=100, default_factory=list)],
        raters: Annotated[int, Form()],
        blind: Annotated[bool, Form()] = False,
    ) -> Any:
        _must_administer(studies, request)
        lang = _lang(request)
        read = await asyncio.to_thread(read_prompts, await file.read())
        if read.bad:
            raise StudyRefused(_bad_rows(read.bad, lang))
        return await desk.make(name, kind, models, raters, read.prompts, lang, blind=blind)


def _add_administration(router: APIRouter, studies: StudyParts) -> None:
    desk = studies.desk

    @router.get("/studies/{study_id}")
    @door("public")
    @_told
    async def report(request: Request, study_id: PlainId) -> Any:
        _must_administer(studies, request)
        return await desk.report(study_id, _lang(request))

    @router.post("/studies/{study_id}")
    @door("public")
    @_told
    async def change(request: Request, study_id: PlainId, changed: ChangedStudy) -> Any:
        _must_administer(studies, request)
        await desk.set_open(study_id, is_open=changed.open)
        return {}

    @router.post("/studies/{study_id}/answers")
    @door("public")
    @_told
    async def fetch_again(request: Request, study_id: PlainId) -> Any:
        _must_administer(studies, request)
        await desk.fetch_again(study_id)
        return {}


def _add_files(app: FastAPI, studies: StudyParts) -> None:
    @app.get("/study/files/{study_id}.{form}")
    @door("public")
    @_told
    async def download(request: Request, study_id: PlainId, form: str) -> Any:
        _must_administer(studies, request)
        study = await studies.store.studies.find(study_id)
        known: tuple[FileForm, ...] = get_args(FileForm)
        wanted = next((one for one in known if one == form), None)
        if study is None or wanted is None:
            raise NotThere
        judged = await studies.store.studies.judgements(study_id)
        answers = await studies.store.studies.answers(study_id)
        content = await asyncio.to_thread(study_file, study, judged, answers, studies.mask, wanted)
        return Response(
            content,
            media_type="text/csv" if wanted == "csv" else "application/x-ndjson",
            headers=HEADERS | {"content-disposition": f'attachment; filename="{file_name(wanted)}"'},
        )


def _told(handler: Handler) -> Handler:
    """What goes wrong, in the reader's language."""

    @wraps(handler)
    async def answered(request: Request, *given: Any, **named: Any) -> Response:
        lang = _lang(request)
        try:
            found = await handler(request, *given, **named)
        except NoCookie:
            return _error(401, text(lang, "no_cookie"))
        except NotAdmin:
            return _error(403, text(lang, "study_not_admin"))
        except NotThere:
            return _error(404, text(lang, "study_not_there"))
        except StudyRefused as refused:
            return _error(409, str(refused))
        except StoreFailed:
            return _error(503, text(lang, "store_failed"))
        return found if isinstance(found, Response) else JSONResponse(found, headers=HEADERS)

    return answered


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message}}, status, HEADERS)


def _bad_rows(bad: tuple[BadRow, ...], lang: Lang) -> str:
    lines = [
        text(lang, "study_bad_line", line=row.line, reason=text(lang, f"study_row_{row.reason}"))
        if row.line
        else text(lang, f"study_row_{row.reason}")
        for row in bad[:TOLD_BAD_ROWS]
    ]
    if len(bad) > TOLD_BAD_ROWS:
        lines.append(text(lang, "study_more_bad_lines", count=len(bad) - TOLD_BAD_ROWS))
    return "\n".join([text(lang, "study_bad_file"), *lines])


def _user(request: Request) -> str:
    user = sender(request.headers.get("cookie"), request.state)
    if user is None:
        raise NoCookie("the browser sends no cookie")
    return user


def _must_administer(studies: StudyParts, request: Request) -> None:
    if not studies.administers(request):
        raise NotAdmin


def _lang(request: Request) -> Lang:
    return language(request.headers.get("accept-language"))
