"""The administrators' screen of feedback against a real gateway: read, left out, noted on, taken back."""

import re
from collections.abc import AsyncIterator, Iterator
from html import unescape

import httpx2
import pytest

from tests.support.admin_pages import ADMIN, AS_ADMIN, pages, send
from tests.support.judged_world import HOSTILE, fill
from tests.support.stack_in_process import InProcess, in_process
from webui.admin.review import ROWS

VOTES = 12


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with in_process(tmp_path_factory.mktemp("review"), admin_token=ADMIN) as made:
        fill(made.gateway, ADMIN, VOTES)
        yield made


@pytest.fixture
async def page(stack: InProcess) -> AsyncIterator[httpx2.AsyncClient]:
    async with pages(stack.gateway, ADMIN) as made:
        yield made


def forms(html: str) -> dict[str, dict[str, str]]:
    """By the id of the vote or rating: what its form sends, untouched."""
    found = {}
    one = r'<form [^>]*action="admin/review/([^"]+)"[^>]*>(.*?)</form>'
    for row_id, inner in re.findall(one, html, re.DOTALL):
        fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', inner))
        (note,) = re.findall(r"<textarea [^>]*>\n(.*?)</textarea>", inner, re.DOTALL)
        ticked = {"excluded": "yes"} if " checked>" in inner else {}
        found[row_id] = {name: unescape(value) for name, value in (fields | {"note": note} | ticked).items()}
    return found


def counted(stack: InProcess) -> list[str]:
    return [row["id"] for row in stack.get("/v1/feedback/votes?limit=1000", **AS_ADMIN)["data"]]


async def test_all_feedback_is_read_page_by_page(page: httpx2.AsyncClient) -> None:
    first = (await page.get("/admin/review")).text
    assert len(forms(first)) == ROWS
    assert HOSTILE not in first
    assert "<img" not in first
    (older,) = re.findall(r'class="next" href="\./([^"]+)"', first)
    rest = (await page.get(f"/{unescape(older)}")).text
    assert len(forms(first) | forms(rest)) == VOTES
    assert 'class="next"' not in rest
    rated = (await page.get("/admin/review?kind=ratings&excluded=nonsense")).text
    assert "말투" in rated
    assert "좋은 답" in rated


async def test_feedback_is_left_out_noted_on_and_taken_back(
    stack: InProcess, page: httpx2.AsyncClient
) -> None:
    shown = forms((await page.get("/admin/review")).text)
    row_id, fresh = next(iter(shown.items()))
    words = 'a <b>"장난"</b>\r\n둘째 줄'
    told = await send(page, f"/admin/review/{row_id}", **fresh | {"excluded": "yes", "note": words})
    assert (told.status_code, "저장했습니다" in told.text) == (200, True)
    assert row_id not in counted(stack)
    assert len(counted(stack)) == VOTES - 1
    left_out = forms((await page.get("/admin/review?excluded=only")).text)
    assert list(left_out) == [row_id]
    assert (left_out[row_id]["note"], left_out[row_id]["excluded"]) == (words.replace("\r", ""), "yes")
    # Somebody who still sees it as it was is told, and changes nothing.
    late = await send(page, f"/admin/review/{row_id}", **fresh | {"note": "늦은 메모"})
    assert (late.status_code, "먼저 검토했습니다" in late.text) == (409, True)
    assert "<dd>늦은 메모</dd>" in late.text
    assert row_id not in counted(stack)
    kept = left_out[row_id] | {"seen_note": left_out[row_id]["seen_note"].replace("\n", "\r\n")}
    del kept["excluded"]
    assert (await send(page, f"/admin/review/{row_id}", **kept)).status_code == 200
    assert len(counted(stack)) == VOTES
    gone = await send(page, "/admin/review/none", **fresh)
    assert (gone.status_code, "지워진 평가" in gone.text) == (409, True)


async def test_others_see_and_do_nothing(stack: InProcess) -> None:
    row_id = counted(stack)[0]
    async with pages(stack.gateway, ADMIN, allowed=False) as member:
        assert (await member.get("/admin/review")).status_code == 403
        asked = {"kind": "votes", "excluded": "yes"}
        assert (await send(member, f"/admin/review/{row_id}", **asked)).status_code == 403
    assert row_id in counted(stack)
