"""A study in a real browser: made from a file, judged by keys and on a phone, followed by its maker."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.accessibility import violations
from tests.support.hostile import harm
from tests.support.hostile_words import ANSWER, NAME, PROMPT
from tests.support.processes import wait_for
from tests.support.webui_driver import WebUi
from tests.support.webui_stage import LIMIT_S, Stage

pytestmark = pytest.mark.slow

PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "locale": "en-US"}


def make_study(ui: WebUi, folder: Path, kind: str, *models: str) -> None:
    """As an administrator does, out of a file of a Korean spreadsheet; two raters for each prompt."""
    (folder / "질문.csv").write_bytes("질문,맥락\n요약해 주세요.,긴 글\n한글날은?,\n".encode("cp949"))
    ui.page.goto(f"{ui.url}/study")
    ui.element("study-name").fill(kind)
    ui.element("study-file").set_input_files(folder / "질문.csv")
    ui.element("study-new").locator(f"[value={kind}]").check()
    for model in models:
        ui.element("study-new").get_by_label(model, exact=True).check()
    ui.element("study-raters").fill("2")
    ui.page.get_by_role("button", name="평가 만들기").click()
    ui.page.get_by_role("heading", name=kind).wait_for()


def test_a_study_is_judged_by_keys_alone_and_what_is_not_saved_waits(
    new_ui: Callable[..., WebUi], stage: Stage, tmp_path: Path
) -> None:
    ui = new_ui(viewport={"width": 1440, "height": 900})
    make_study(ui, tmp_path, "vote", "images", "demo-dolly")
    ui.page.get_by_role("button", name="평가하기").first.press("Enter")
    confirm, mine = ui.element("study-confirm"), ui.page.locator(".bars label").first
    confirm.wait_for()
    ui.page.keyboard.press("ArrowLeft")
    expect(ui.page.get_by_role("button", name="A가 나음")).to_have_attribute("aria-pressed", "true")
    expect(confirm).to_be_in_viewport()
    assert violations(ui.page) == []
    assert not {"images", "demo-dolly"} & set(ui.element("study").inner_text().split())
    ui.page.route("**/study/api/tasks/*", lambda route: route.abort())
    ui.page.keyboard.press("Enter")
    expect(ui.element("told")).to_contain_text("응답하지 않습니다")
    ui.page.unroute("**/study/api/tasks/*")
    ui.page.reload()
    expect(mine).to_contain_text("나 1/2")
    ui.page.keyboard.press("Backspace")
    expect(ui.page.get_by_text("바로 앞 판단을 고칩니다")).to_be_visible()
    ui.page.keyboard.press("ArrowDown")
    ui.page.keyboard.press("Enter")
    expect(ui.page.get_by_text("바로 앞 판단을 고칩니다")).to_have_count(0)
    expect(ui.page.get_by_role("button", name="비슷함")).to_have_attribute("aria-pressed", "false")
    ui.page.keyboard.press("ArrowRight")
    ui.page.keyboard.press("Enter")
    expect(ui.element("study-nothing")).to_contain_text("모두 평가했습니다")
    wait_for(lambda: choices(stage) == ["right", "tie"], LIMIT_S)


def choices(stage: Stage) -> list[str]:
    """What the gateway has been told."""
    return sorted(vote["choice"] for vote in stage.script()["votes"].values())


def test_scores_are_given_on_a_phone_and_followed_by_the_administrator(
    new_ui: Callable[..., WebUi], stage: Stage, tmp_path: Path
) -> None:
    ui, phone = new_ui(), new_ui(**PHONE)
    make_study(ui, tmp_path, "score", "demo-base", "thinks")
    phone.page.goto(f"{ui.url}/study")
    phone.page.get_by_role("button", name="Judge").first.click()
    for number in (1, 2):
        for answer in ("A", "B"):
            phone.page.get_by_role("button", name=f"{answer} {number + 2}", exact=True).click()
        assert phone.overflow_px() <= 0
        assert violations(phone.page) == []
        phone.element("study-confirm").click()
        expect(phone.page.locator(".bars label").first).to_contain_text(f"me {number}/2")
    wait_for(lambda: len(stage.script()["ratings"]) == 4, LIMIT_S)
    ui.page.reload()
    card = ui.page.locator(".study").first
    card.get_by_text("결과와 관리").click()
    expect(card.get_by_role("row", name="demo-base 3.50")).to_be_visible()
    assert violations(ui.page) == []
    with ui.page.expect_download() as begun:
        card.get_by_role("link", name="CSV").click()
    assert re.fullmatch(r"kodolly-\d{4}-\d\d-\d\d-study\.csv", begun.value.suggested_filename)
    card.get_by_role("button", name="평가 끝내기").click()
    expect(card.get_by_text("끝남")).to_be_visible()


def test_hostile_prompts_answers_and_names_stay_inert(
    new_ui: Callable[..., WebUi], stage: Stage, tmp_path: Path
) -> None:
    stage.reset(models=[])
    ui = new_ui()
    prompts = tmp_path / f"{NAME[:8]}.jsonl"
    row = {"prompt": ANSWER, "context": PROMPT, "category": NAME[:50]}
    prompts.write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    ui.page.goto(f"{ui.url}/study")
    expect(ui.element("study-new")).to_contain_text("대답할 모델이 없습니다.")
    stage.reset(models=["echo", NAME])
    ui.page.get_by_label("echo", exact=True).check()
    stage.reset(models=["echo", "demo-dolly", NAME])
    ui.come_back()
    expect(ui.page.get_by_label(NAME, exact=True)).to_have_count(1)
    ui.element("study-name").fill(NAME)
    ui.element("study-file").set_input_files(prompts)
    ui.element("study-new").get_by_label("demo-dolly", exact=True).check()
    ui.element("study-raters").fill("1")
    ui.page.get_by_role("button", name="평가 만들기").click()
    ui.page.get_by_role("heading", name=NAME).wait_for()
    assert harm(ui) == []
    ui.page.get_by_role("button", name="평가하기").first.click()
    expect(ui.element("study").get_by_text("끝까지 왔습니다.").first).to_be_visible()
    expect(ui.element("study")).to_contain_text("window.hacked=21</script>")
    assert violations(ui.page) == []
    assert harm(ui) == []
    ui.page.keyboard.press("ArrowLeft")
    ui.page.keyboard.press("Enter")
    expect(ui.element("study-nothing")).to_contain_text("모두 평가했습니다")
    ui.page.goto(f"{ui.url}/study")
    ui.page.locator(".study").first.get_by_text("결과와 관리").click()
    expect(ui.page.get_by_role("row", name="echo")).to_be_visible()
    assert harm(ui) == []
