"""Votes as the gateway lists them, and their results."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from common.leaderboard.judgements import Filter, vote_of
from common.leaderboard.results import Results, leaderboard

START = datetime(2026, 11, 1, tzinfo=UTC)


def row(number: int, choice: str, left: str, right: str, **more: Any) -> dict[str, Any]:
    sides: dict[str, object] = {side: {"model": name.partition("@")[0], "messages": [], "answer": "답",
                    "checkpoint": name.partition("@")[2] or None, "request_id": f"{number}-{side}"}
             for side, name in (("left", left), ("right", right))}  # fmt: skip
    created = (START + timedelta(minutes=number)).isoformat()
    about = {"id": f"v{number:06}", "created": created, "blind": True, "locale": "ko", "key_id": "k"}
    return about | {"choice": choice, "rater_id": f"r{number}"} | sides | more


def results(rows: Sequence[dict[str, Any]], only: Filter = Filter(), **options: Any) -> Results:  # noqa: B008
    return leaderboard([vote_of(one) for one in rows], [], only, **options)
