"""The administrators' screen of turns of `kodolly improve` against a real gateway."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from tests.support.admin_pages import ADMIN, AS_ADMIN, pages
from tests.support.stack_in_process import InProcess, in_process

HOSTILE = "<img src=x onerror=alert(1)>"
TURN = {
    "model": "돌리",
    "turn": "improve-3",
    "begun": (datetime.now(UTC) - timedelta(hours=5)).isoformat(),
    "checkpoint": "0123456789ab",
    "method": "dpo",
    "why": HOSTILE,
    "counts": {"pairs": 312},
    "step": "votes",
    "gates": [{"name": "old_rows", "passed": None, "words": HOSTILE}],
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with in_process(tmp_path_factory.mktemp("improve"), admin_token=ADMIN) as made:
        yield made


def put(stack: InProcess, turn_id: str, turn: dict[str, Any], **headers: str) -> httpx2.Response:
    return stack.put(f"/admin/turns/{turn_id}", turn, **(headers or AS_ADMIN))


async def test_a_turn_is_shown_as_far_as_it_has_come(stack: InProcess) -> None:
    async with pages(stack.gateway, ADMIN) as page:
        assert "아직 없습니다" in (await page.get("/admin/improve")).text
        assert put(stack, "improve-3-1", TURN).status_code == 204
        runs = (await page.get("/admin/improve")).text
        assert "진행 중" in runs
        assert '<li class="now" aria-current="step">투표</li>' in runs
        assert '<li class="done">학습</li>' in runs
        assert "마지막 소식 0분 전" in runs
        assert "재지 않음" in runs
        assert HOSTILE not in runs
        over = TURN | {"step": None, "decision": "withdrawn", "words": "people preferred the old one"}
        assert put(stack, "improve-3-1", over).status_code == 204
        assert put(stack, "improve-4-1", TURN | {"begun": datetime.now(UTC).isoformat()}).status_code == 204
        both = (await page.get("/admin/improve")).text
    assert both.index("진행 중") < both.index("거둠")
    assert "5시간 걸림" in both
    assert "people preferred the old one" in both


def test_only_administrators_tell_and_see(stack: InProcess) -> None:
    plain = stack.post("/admin/keys", {"name": "plain"}, **AS_ADMIN).json()["secret"]
    by = {"authorization": f"Bearer {plain}"}
    assert put(stack, "improve-9-1", TURN, **by).status_code in (401, 403)
    with pytest.raises(httpx2.HTTPStatusError):
        stack.get("/admin/turns", **by)
    for turn_id, turn in (
        ("a%20b", TURN),
        ("x", TURN | {"begun": "yesterday"}),
        ("x", TURN | {"step": "rest"}),
    ):
        assert put(stack, turn_id, turn).status_code == 400
