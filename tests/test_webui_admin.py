"""The administrators' page against a real gateway: what its forms do, and what it says of it."""

import re
from collections.abc import AsyncIterator, Iterator
from datetime import date
from html import unescape
from typing import Any

import httpx2
import pytest

from common.registry import ModelCard
from tests.support.admin_pages import ADMIN, AS_ADMIN, pages, send
from tests.support.processes import wait_for
from tests.support.stack_in_process import InProcess, in_process
from webui.admin.desk import FormRefused
from webui.admin.keys import wishes
from webui.admin.usage import UsageReport, UsageSums
from webui.admin.usage_html import usage_html


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with in_process(tmp_path_factory.mktemp("admin"), admin_token=ADMIN) as made:
        made.worker("w", ModelCard(name="dolly", licence="Apache-2.0"))
        yield made


@pytest.fixture
async def page(stack: InProcess) -> AsyncIterator[httpx2.AsyncClient]:
    async with pages(stack.gateway, ADMIN) as made:
        yield made


def keys(stack: InProcess) -> dict[str, dict[str, Any]]:
    """The gateway's keys by name."""
    return {row["name"]: row for row in stack.get("/admin/keys", **AS_ADMIN)["data"]}


def form(html: str, key_id: str) -> dict[str, str]:
    """What the form of a key shows, as a browser would send it."""
    (inner,) = re.findall(rf'<form [^>]*action="admin/keys/{key_id}">(.*?)</form>', html, re.DOTALL)
    inputs = re.findall(r'<input [^>]*?name="(\w+)" value="([^"]*)"', inner)
    return {name: unescape(value) for name, value in inputs}


async def test_a_key_is_made_and_its_secret_shown_once(stack: InProcess, page: httpx2.AsyncClient) -> None:
    limits = {"models": "dolly, gpt", "requests_per_min": "60", "budget_tokens": "1,000,000"}
    made = await send(page, "/admin/keys", name=" 김하나 ", expires="2030-12-31", **limits)
    assert made.status_code == 200
    assert made.headers["cache-control"] == "no-store"
    (secret,) = re.findall(r"sk-kodolly-[\w-]+", made.text)
    kept = keys(stack)["김하나"]
    assert sorted(kept["models"]) == ["dolly", "gpt"]
    assert (kept["requests_per_min"], kept["budget_tokens"]) == (60, 10**6)
    assert (kept["expires"], kept["admin"]) == ("2031-01-01T00:00:00Z", False)
    again = await page.get("/admin")
    assert secret not in again.text
    assert form(again.text, kept["id"])["expires"] == "2030-12-31"


async def test_a_form_changes_what_it_shows_and_no_more(stack: InProcess, page: httpx2.AsyncClient) -> None:
    await send(page, "/admin/keys", name="둘", admin="yes", tokens_per_min="5")
    before = keys(stack)["둘"]
    shown = form((await page.get("/admin")).text, before["id"])
    assert shown["tokens_per_min"] == "5"
    shown |= {"tokens_per_min": "", "models": "dolly"}
    told = await send(page, f"/admin/keys/{before['id']}", **shown)
    assert "저장했습니다" in told.text
    after = keys(stack)["둘"]
    assert after == before | {"tokens_per_min": None, "models": ["dolly"], "version": after["version"]}
    assert after["admin"] is True


async def test_of_two_administrators_the_later_one_is_told(
    stack: InProcess, page: httpx2.AsyncClient
) -> None:
    await send(page, "/admin/keys", name="셋", concurrency="1")
    key_id = keys(stack)["셋"]["id"]
    both = form((await page.get("/admin")).text, key_id)
    first = await send(page, f"/admin/keys/{key_id}", **both | {"concurrency": "2"})
    assert first.status_code == 200
    later = await send(page, f"/admin/keys/{key_id}", **both | {"requests_per_min": "7"})
    assert later.status_code == 409
    assert "다른 관리자가" in later.text
    assert "<dt>분당 요청</dt><dd>7</dd>" in later.text  # what was entered is there to be entered again
    kept = keys(stack)["셋"]
    assert (kept["concurrency"], kept["requests_per_min"]) == (2, None)
    fresh = form(later.text, key_id)
    assert fresh["concurrency"] == "2"
    assert (await send(page, f"/admin/keys/{key_id}", **fresh)).status_code == 200


async def test_a_key_is_revoked_by_whoever_is_sure(stack: InProcess, page: httpx2.AsyncClient) -> None:
    await send(page, "/admin/keys", name="넷")
    key_id = keys(stack)["넷"]["id"]
    shown = form((await page.get("/admin")).text, key_id)
    assert (await send(page, f"/admin/keys/{key_id}/revoke", sure="")).status_code == 409
    assert keys(stack)["넷"]["revoked"] is None
    told = await send(page, f"/admin/keys/{key_id}/revoke", sure="yes")
    assert "취소했습니다" in told.text
    assert keys(stack)["넷"]["revoked"]
    for path, fields in ((f"/admin/keys/{key_id}", shown), ("/admin/keys/none/revoke", {"sure": "yes"})):
        gone = await send(page, path, **fields)
        assert gone.status_code == 409
        assert "이미 취소되었거나 없습니다" in gone.text


@pytest.mark.parametrize(
    "fields",
    [
        {"name": " "},
        {"name": "x" * 201},
        {"name": "x", "concurrency": "-1"},
        {"name": "x", "concurrency": "0"},
        {"name": "x", "tokens_per_min": "1.5"},
        {"name": "x", "tokens_per_min": "٣"},
        {"name": "x", "budget_tokens": "9" * 17},
        {"name": "x", "expires": "morgen"},
        {"name": "x", "expires": "9999-12-31"},
        {},
    ],
)
def test_a_field_that_makes_no_sense_saves_nothing(fields: dict[str, str]) -> None:
    with pytest.raises(FormRefused):
        wishes(fields)


async def test_a_refused_field_is_named(stack: InProcess, page: httpx2.AsyncClient) -> None:
    told = await send(page, "/admin/keys", name="다섯", concurrency="viel")
    assert told.status_code == 409
    assert "&#x27;동시 요청&#x27; 값이 올바르지" in told.text
    assert "다섯" not in keys(stack)


async def test_usage_is_what_the_gateway_booked(stack: InProcess, page: httpx2.AsyncClient) -> None:
    made = await send(page, "/admin/keys", name="여섯")
    (secret,) = re.findall(r"sk-kodolly-[\w-]+", made.text)

    own = {"authorization": f"Bearer {secret}"}

    def listed() -> bool:
        key, models = (
            httpx2.get(f"{stack.gateway}{path}", headers=own, trust_env=False)
            for path in ("/v1/key", "/v1/models")
        )
        known = key.status_code == 200 and key.json()["name"] == "여섯"
        return known and "dolly" in [model["id"] for model in models.json()["data"]]

    # What comes before the key is known is booked on nobody, where it is the first, else refused.
    wait_for(listed, 60, what="the key's model")
    assert stack.ask("dolly", headers=own).status_code == 200
    wait_for(lambda: bool(stack.get("/admin/usage", **AS_ADMIN)["data"]), 60, what="the usage")
    for by, name in (("key", "여섯"), ("model", "dolly"), ("nonsense", "여섯")):
        html = (await page.get(f"/admin?by={by}&since=2020-01-01")).text
        assert f'<th scope="row">{name}</th><td>1</td>' in html
        assert 'width="160.0"' in html
    assert re.search(r'<th scope="row">\d{4}-\d\d-\d\d</th>', (await page.get("/admin?by=day")).text)
    assert "사용량이 없습니다" in (await page.get("/admin?since=9999-01-01")).text


async def test_hostile_names_are_text(stack: InProcess, page: httpx2.AsyncClient) -> None:
    hostile = "\"><script>alert('1')</script>"
    told = await send(page, "/admin/keys", name=hostile, models=hostile)
    assert told.status_code == 200
    assert "<script" not in told.text
    assert form(told.text, keys(stack)[hostile]["id"])["name"] == hostile


async def test_others_see_nothing(stack: InProcess) -> None:
    async with pages(stack.gateway, ADMIN, allowed=False) as member:
        told = await member.get("/admin", headers={"accept-language": "en"})
        assert (told.status_code, "Only administrators" in told.text) == (403, True)
        assert (await send(member, "/admin/keys", name="일곱")).status_code == 403
    assert "일곱" not in keys(stack)
    plain = stack.post("/admin/keys", {"name": "여덟"}, **AS_ADMIN).json()["secret"]
    for key in (plain, None):
        async with pages(stack.gateway, key) as other:
            told = await other.get("/admin")
            assert (told.status_code, "관리자 키" in told.text) == (502, True)


async def test_without_a_gateway_the_page_says_so() -> None:
    async with pages("http://127.0.0.1:9", None) as page:
        assert "읽지 못했습니다" in (await page.get("/admin")).text


def test_usage_tells_cost_sums_and_what_moderation_did() -> None:
    row = {"ok": 1, "cancelled": 0, "failed": 0, "refused": 1, "prompt_tokens": 1000, "completion_tokens": 10}
    rows = [
        UsageSums(name="k1", **row, cost=1.5, withheld=3),
        UsageSums(name="k2", **row, cost=0.25, unpriced_tokens=7),
    ]
    html = usage_html("ko", UsageReport(rows, "KRW"), "key", date(2026, 1, 1), {"k1": "<김하나>"})
    assert "&lt;김하나&gt;" in html
    assert "비용 (KRW)" in html
    assert "<td>3</td><td>0</td><td>1.5000</td>" in html
    assert "<td>0.2500+</td>" in html
    assert (
        "합계</th><td>4</td><td>2,000</td><td>20</td><td>2,020</td><td>3</td><td>0</td><td>1.7500+</td>"
        in html
    )
    assert "토큰 7개는" in html
    days = [UsageSums(name=f"2026-01-0{day}", **row) for day in (1, 2, 4)]
    chart = usage_html("ko", UsageReport(days, None), "day", date(2026, 1, 1), {})
    assert chart.count('y="0.00" width="144.00" height="140.00"') == 3  # four days, one of them without any
    assert 'x="540.00"' in chart
    alone = usage_html("ko", UsageReport([UsageSums(name="k", **row)], None), "key", date(2026, 1, 1), {})
    assert "비용" not in alone
    assert "차단됨" not in alone


def test_a_long_table_of_usage_is_drawn_without_comparing_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"ok": 1, "cancelled": 0, "failed": 0, "refused": 0, "prompt_tokens": 5, "completion_tokens": 1}
    usage = UsageReport([UsageSums(name=f"k{number}", **counts) for number in range(3)], None)
    monkeypatch.setattr(UsageSums, "__eq__", lambda *_: pytest.fail("2,000 keys took 7 s of the event loop"))
    html = usage_html("ko", usage, "key", date(2026, 1, 1), {})
    assert html.count("<rect") == 3
