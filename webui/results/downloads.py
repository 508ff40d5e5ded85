"""Results as files: tables as CSV, votes and ratings as JSONL, and rows for the next training."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from common.doors import door
from common.feedback import Kind
from common.status import Status
from webui.csv_text import csv_text
from webui.gateway_client import GatewayClient, GatewayError
from webui.results.figures import Leaderboard, Query, read_figures
from webui.results.judged import JudgementRow, judged

Table = Literal["leaderboard.csv", "pairs.csv", "votes.csv", "ratings.csv", "votes.jsonl", "ratings.jsonl"]
TrainingFile = Literal["dpo", "kto", "sft"]
MakeTrainingRows = Callable[
    [TrainingFile, Sequence[JudgementRow], Sequence[JudgementRow], Status], Iterable[JudgementRow]
]
"""Votes and ratings to rows of a training. The command hands it over: training is no part of this one."""

MaskRow = Callable[[JudgementRow], JudgementRow]
"""A vote or rating with masks in the place of personal data. Handed over, too."""

FIGURES: tuple[Table, ...] = ("leaderboard.csv", "pairs.csv")
"""Files that hold figures alone, and nothing that people wrote."""

NOT_SHOWN = "What people asked and were answered is not shown here (webui.show_feedback)."


def add_downloads(
    app: FastAPI,
    client: GatewayClient,
    training: MakeTrainingRows | None,
    mask: MaskRow | None = None,
    *,
    texts: bool,
) -> None:
    """GET /results/files/NAME with the filters of the page. `texts`: those with what people wrote, too, in
    which `mask` covers personal data."""

    @app.get("/results/files/{name}")
    @door("public")
    async def download(name: str, request: Request) -> Response:
        query = Query.of(request.query_params)
        if not texts and name not in FIGURES:
            return JSONResponse({"error": {"message": NOT_SHOWN}}, status_code=403)
        try:
            if name in get_args(Table):
                return await _table(client, name, query, mask)
            method = name.removesuffix(".jsonl")
            if training is not None and method in get_args(TrainingFile):
                return await _training(client, training, method, query)  # type: ignore[arg-type]
        except GatewayError as error:
            return JSONResponse({"error": {"message": str(error)}}, status_code=502)
        return JSONResponse({"error": {"message": f"There is no file {name!r} here."}}, status_code=404)


async def _table(client: GatewayClient, name: str, query: Query, mask: MaskRow | None) -> Response:
    what, _, form = name.partition(".")
    if what in ("leaderboard", "pairs"):
        figures = await read_figures(client, query)
        rows = leaderboard_rows(figures) if what == "leaderboard" else pair_rows(figures)
        return Response(csv_text(rows), media_type="text/csv", headers=_named(name))
    kind: Kind = "votes" if what == "votes" else "ratings"
    pages = _masked(judged(client, kind, query.filter()), mask)
    first = await anext(pages)  # a refusal is told as one, not in the middle of a file
    lines = _csv_pages(kind, first, pages) if form == "csv" else _json_pages(first, pages)
    media_type = "text/csv" if form == "csv" else "application/x-ndjson"
    return StreamingResponse(lines, media_type=media_type, headers=_named(name))


async def _masked(
    pages: AsyncGenerator[list[JudgementRow], None], mask: MaskRow | None
) -> AsyncGenerator[list[JudgementRow], None]:
    async with aclosing(pages):
        async for rows in pages:
            yield rows if mask is None else await asyncio.to_thread(_each, mask, rows)


def _each(mask: MaskRow, rows: list[JudgementRow]) -> list[JudgementRow]:
    return [mask(row) for row in rows]


async def _training(
    client: GatewayClient, training: MakeTrainingRows, method: TrainingFile, query: Query
) -> StreamingResponse:
    votes = [row async for page in judged(client, "votes", query.filter()) for row in page]
    ratings = [row async for page in judged(client, "ratings", query.filter()) for row in page]
    status = await client.status()
    rows = await asyncio.to_thread(lambda: list(training(method, votes, ratings, status)))
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=_named(f"{method}.jsonl"))


def _named(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="kodolly-{datetime.now(UTC):%Y-%m-%d}-{name}"'}


def leaderboard_rows(figures: Leaderboard) -> list[list[Any]]:
    """A line for each contender."""
    rows: list[list[Any]] = [
        ["model", "best_rank", "worst_rank", "group", "strength", "low", "high", "votes", "both_bad"]
    ]
    for one in figures.strengths:
        bad = figures.both_bad.get(one.name)
        rating = [round(value, 1) for value in (one.rating.value, one.rating.low, one.rating.high)]
        ranks = [one.best_rank, one.worst_rank, one.group]
        rows.append([one.name, *ranks, *rating, one.votes, round(bad.value, 4) if bad else ""])
    return rows


def pair_rows(figures: Leaderboard) -> list[list[Any]]:
    """A line for each pair."""
    rows: list[list[Any]] = [
        ["first", "second", "wins", "losses", "ties", "both_bad", "win_rate", "low", "high", "winner", "more"]
    ]
    for one in figures.pairs:
        rate = [round(value, 4) for value in (one.win_rate.value, one.win_rate.low, one.win_rate.high)]
        won = {1: one.first, -1: one.second}.get(one.decision.winner or 0, "")
        counts = [one.wins, one.losses, one.ties, one.both_bad]
        rows.append([one.first, one.second, *counts, *rate, won, one.decision.more or ""])
    return rows


ABOUT = ("id", "created", "rater_id", "session_id", "locale", "category", "blind", "comment")
OWN: dict[Kind, tuple[str, ...]] = {
    "votes": ("choice",),
    "ratings": ("score", "thumb", "tags", "correction"),
}
SIDES: dict[Kind, tuple[str, ...]] = {"votes": ("left", "right"), "ratings": ("answer",)}
FACTS = ("model", "arm", "checkpoint", "request_id", "answer")


async def _csv_pages(
    kind: Kind, first: list[JudgementRow], rest: AsyncGenerator[list[JudgementRow], None]
) -> AsyncGenerator[str, None]:
    columns = [f"{side}_{fact}" for side in SIDES[kind] for fact in FACTS]
    yield csv_text([[*ABOUT, *OWN[kind], "question", *columns]])
    async for rows in _chained(first, rest):
        yield csv_text([_line(kind, row) for row in rows], begins=False)


def _line(kind: Kind, row: JudgementRow) -> list[Any]:
    asked = row[SIDES[kind][0]].get("messages") or [{}]
    facts = [row[side].get(fact) for side in SIDES[kind] for fact in FACTS]
    return [*(row.get(name) for name in (*ABOUT, *OWN[kind])), asked[-1].get("content", ""), *facts]


async def _json_pages(
    first: list[JudgementRow], rest: AsyncGenerator[list[JudgementRow], None]
) -> AsyncGenerator[str, None]:
    async for rows in _chained(first, rest):
        yield "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


async def _chained(
    first: list[JudgementRow], rest: AsyncGenerator[list[JudgementRow], None]
) -> AsyncGenerator[list[JudgementRow], None]:
    async with aclosing(rest):
        yield first
        async for rows in rest:
            yield rows
