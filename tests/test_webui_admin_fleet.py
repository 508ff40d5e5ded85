"""The administrators' screen of workers and names against a real controller and gateway."""

import re
from collections.abc import AsyncIterator, Iterator
from html import unescape
from typing import Any

import httpx2
import pytest

from common.registry import ModelCard
from tests.support.admin_pages import ADMIN, AS_ADMIN, pages, send
from tests.support.stack_in_process import InProcess, in_process
from webui.admin.desk import FormRefused
from webui.admin.fleet import split_wishes

CHECKPOINT = "0123456789ab"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with in_process(tmp_path_factory.mktemp("fleet"), admin_token=ADMIN) as made:
        made.worker("w1", ModelCard(name="dolly", checkpoint=CHECKPOINT))
        made.worker("w2", ModelCard(name="dolly-2"))
        yield made


@pytest.fixture
async def page(stack: InProcess) -> AsyncIterator[httpx2.AsyncClient]:
    async with pages(stack.gateway, ADMIN) as made:
        yield made


def names(stack: InProcess) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in stack.get("/admin/names", **AS_ADMIN)["data"]}


def form(html: str, action: str, name: str) -> dict[str, str]:
    """What the form about a name shows, as a browser would send it."""
    for inner in re.findall(rf'<form [^>]*action="{action}"[^>]*>(.*?)</form>', html, re.DOTALL):
        inputs = re.findall(r'<input [^>]*?name="(\w+)" value="([^"]*)"', inner)
        shown = {key: unescape(value) for key, value in inputs}
        if shown.get("name") == name:
            return shown
    raise AssertionError(f"no form of {name}")


async def test_workers_and_their_checkpoints_are_shown(page: httpx2.AsyncClient) -> None:
    shown = (await page.get("/admin/workers")).text
    assert "<strong>w1</strong>" in shown
    assert CHECKPOINT in shown
    assert "http://" not in shown.replace("http://www.w3.org", "")


async def test_a_name_is_split_and_of_two_administrators_the_later_one_is_told(
    stack: InProcess, page: httpx2.AsyncClient
) -> None:
    asked = {"name": "chat/안녕", "stable": "dolly", "canary": "dolly-2", "share": "12.5", "sticky": "key"}
    made = await send(page, "/admin/names", **asked)
    assert (made.status_code, "저장했습니다" in made.text) == (200, True)
    kept = names(stack)["chat/안녕"]
    assert [arm["buckets"] for arm in kept["split"]["arms"]] == [8750, 1250]
    assert kept["split"]["sticky"] == "key"
    both = form((await page.get("/admin/workers")).text, "admin/names", "chat/안녕")
    assert both["share"] == "12.5"
    assert (await send(page, "/admin/names", **both | {"share": "50"})).status_code == 200
    late = await send(page, "/admin/names", **both | {"share": "0"})
    assert (late.status_code, "다른 관리자가" in late.text) == (409, True)
    assert form(late.text, "admin/names", "chat/안녕")["share"] == "50"
    for done in ("저장했습니다", "되돌렸습니다"):  # first the split, then the name
        shown = form((await page.get("/admin/workers")).text, "admin/names/end", "chat/안녕")
        assert (await send(page, "/admin/names/end", **shown | {"sure": ""})).status_code == 409
        told = await send(page, "/admin/names/end", **shown | {"sure": "yes"})
        assert (told.status_code, done in told.text) == (200, True)
    assert names(stack) == {}


async def test_a_new_name_takes_none_that_is_there(stack: InProcess, page: httpx2.AsyncClient) -> None:
    asked = {"name": "둘", "stable": "dolly", "canary": "dolly-2", "share": "1"}
    await send(page, "/admin/names", **asked)
    assert (await send(page, "/admin/names", **asked | {"share": "99"})).status_code == 409
    assert names(stack)["둘"]["split"]["arms"][1]["buckets"] == 100


@pytest.mark.parametrize(
    "fields",
    [
        {"share": "101"},
        {"share": "-1"},
        {"share": "nan"},
        {"stable": ""},
        {"canary": "dolly"},
        {"sticky": "x"},
    ],
)
def test_a_split_that_makes_no_sense_saves_nothing(fields: dict[str, str]) -> None:
    good = {"stable": "dolly", "canary": "dolly-2", "share": "5"}
    assert split_wishes(good)["target"] == "dolly"
    with pytest.raises(FormRefused):
        split_wishes(good | fields)


async def test_a_worker_is_drained_by_whoever_is_sure(stack: InProcess, page: httpx2.AsyncClient) -> None:
    shown = (await page.get("/admin/workers")).text
    (incarnation,) = re.findall(
        r'action="admin/workers/w2/drain".*?name="incarnation" value="([^"]+)"', shown
    )
    asked = {"incarnation": incarnation}
    assert (await send(page, "/admin/workers/w2/drain", **asked)).status_code == 409
    told = await send(page, "/admin/workers/w2/drain", **asked | {"sure": "yes"})
    assert (told.status_code, "마치면 멈춥니다" in told.text) == (200, True)
    assert "마무리 중" in told.text
    assert 'action="admin/workers/w2/drain"' not in told.text
    gone = await send(page, "/admin/workers/none/drain", **asked | {"sure": "yes"})
    assert (gone.status_code, "이미 사라졌습니다" in gone.text) == (409, True)


async def test_a_worker_that_was_to_stop_goes_on(stack: InProcess, page: httpx2.AsyncClient) -> None:
    stack.worker("w4", ModelCard(name="dolly-4"))
    asked = {"incarnation": "incarnation-1"}
    await send(page, "/admin/workers/w4/drain", **asked, sure="yes")
    assert 'action="admin/workers/w4/undrain"' in (await page.get("/admin/workers")).text
    told = await send(page, "/admin/workers/w4/undrain", **asked)
    assert (told.status_code, "계속 돕니다" in told.text) == (200, True)
    assert 'action="admin/workers/w4/drain"' in told.text
    gone = await send(page, "/admin/workers/none/undrain", **asked)
    assert (gone.status_code, "이미 사라졌습니다" in gone.text) == (409, True)


async def test_a_canary_gets_all_of_a_models_own_name(stack: InProcess, page: httpx2.AsyncClient) -> None:
    arms = [{"model": "dolly", "buckets": 9000}, {"model": "dolly-2", "buckets": 1000}]
    split = {"target": "dolly", "split": {"arms": arms}}
    url = f"{stack.gateway}/admin/names/dolly"
    headers = {"authorization": f"Bearer {ADMIN}"}
    httpx2.put(url, json=split, headers=headers, trust_env=False).raise_for_status()
    shown = form((await page.get("/admin/workers")).text, "admin/names/promote", "dolly")
    assert (await send(page, "/admin/names/promote", **shown | {"sure": ""})).status_code == 409
    told = await send(page, "/admin/names/promote", **shown | {"sure": "yes"})
    assert (told.status_code, "이제 카나리가 모두" in told.text) == (200, True)
    assert [arm["buckets"] for arm in names(stack)["dolly"]["split"]["arms"]] == [0, 10_000]
    with pytest.raises(AssertionError, match="no form"):
        form((await page.get("/admin/workers")).text, "admin/names/promote", "dolly")
    late = await send(page, "/admin/names/promote", **shown | {"sure": "yes"})
    assert (late.status_code, "다른 관리자가" in late.text) == (409, True)
    httpx2.delete(url, headers=headers, trust_env=False).raise_for_status()


async def test_others_see_and_do_nothing(stack: InProcess) -> None:
    async with pages(stack.gateway, ADMIN, allowed=False) as member:
        assert (await member.get("/admin/workers")).status_code == 403
        asked = {"name": "셋", "stable": "dolly", "canary": "dolly-2", "share": "1"}
        assert (await send(member, "/admin/names", **asked)).status_code == 403
    assert "셋" not in names(stack)
