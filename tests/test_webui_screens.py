"""Results, and opinions on a chat's answers with what becomes of them, in a real browser, against a real
gateway: one of each for all tests."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from click.testing import CliRunner
from playwright.sync_api import Browser, Locator, expect

from common.registry import ModelCard
from kodolly.commands.data_from_feedback import command as from_feedback
from kodolly.commands.feedback_forget import command as forget
from tests.support.accessibility import violations
from tests.support.hostile import harm
from tests.support.hostile_words import ANSWER, NAME
from tests.support.judged_world import answer, fill, put
from tests.support.processes import PATIENCE_S, free_port, running, wait_for
from tests.support.stack_in_process import InProcess, in_process
from tests.support.webui_driver import WebUi
from tests.support.webui_stage import chromium_or_skip, webui_command

pytestmark = pytest.mark.slow

PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "locale": "en-US"}
TARGET_PX = 44


@dataclass(frozen=True)
class House:
    """A gateway with votes, and the web UI in front of it: two processes on one port, between which a page's
    requests fall as they come."""

    stack: InProcess
    webui: str
    browser: Browser


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    cwd = tmp_path_factory.mktemp("screens")
    keeping = {"feedback_store": "all", "feedback_held_out": 0.0}
    with in_process(cwd, **keeping) as stack, chromium_or_skip() as browser:
        fill(stack.gateway)
        stack.worker("w1", ModelCard(name="돌리"))
        port = free_port()
        url, environment = f"http://127.0.0.1:{port}", {"KODOLLY_STATE_DIR": str(cwd / "state")}
        command = [*webui_command(port, stack.gateway), "--processes", "2"]
        with running(command, cwd / "webui.log", f"{url}/healthz", env=environment):
            yield House(stack, url, browser)


def test_results_lead_from_a_number_to_its_answers_and_to_a_file(house: House) -> None:
    ui = WebUi(house.browser, house.webui)
    ui.page.goto(f"{house.webui}/results")
    ui.page.get_by_role("link", name="dolly@0123456789ab의 투표 보기").click()
    expect(ui.page.locator("article")).to_have_count(6)
    ui.page.get_by_label("블라인드만").check()
    ui.page.get_by_role("button", name="적용").press("Enter")
    expect(ui.page.get_by_text("투표 11건")).to_be_visible()
    with ui.page.expect_download() as begun:
        ui.page.get_by_role("link", name="votes.csv").click()
    assert len(begun.value.path().read_text("utf-8-sig").splitlines()) == 12
    assert ui.page.evaluate("window.hurt") is None
    assert (ui.errors, ui.foreign, ui.nameless_buttons()) == ([], [], [])
    ui.close()


@pytest.mark.parametrize("locale", ["ko-KR", "en-US"])
def test_no_screen_keeps_anybody_out(house: House, locale: str) -> None:
    """Nothing that axe-core finds, in both schemes."""
    ui = WebUi(house.browser, house.webui, locale=locale)
    for address in ("/", "/chat", "/models"):
        ui.open(address)
        assert violations(ui.page) == [], address
    for address in ("/study", "/results?model=base", "/documents", "/admin"):
        ui.page.goto(house.webui + address)
        ui.page.locator("h1").wait_for()
        assert violations(ui.page) == [], address
    ui.close()


def test_nothing_that_opens_on_a_screen_keeps_anybody_out(house: House) -> None:
    ui = WebUi(house.browser, house.webui)
    ui.open("/")
    for side in ("left", "right"):
        ui.pick("돌리", side)
        ui.set_system(side, "짧게 답하세요.")
    ui.ask("부산까지 얼마나 걸리나요?")
    ui.wait_finished()
    ui.element("vote-tie").click()
    ui.element("left-show-prompt").click()
    expect(ui.element("left-prompt-info")).not_to_be_empty()
    ui.element("compare-comparisons").locator("button").first.click()
    expect(ui.element("compare-history")).to_be_visible()
    assert violations(ui.page) == []
    ui.element("compare-add").click()
    expect(ui.element("third-state")).to_contain_text("준비됨")
    ui.ask("대전까지는요?")
    ui.wait_finished()
    ui.element("best-tie").click()
    expect(ui.element("compare-vote-note")).to_contain_text("3번 돌리")
    assert violations(ui.page) == []
    ui.open("/chat")
    ui.pick("돌리", "chat")
    ui.set_system("chat", "짧게 답하세요.")
    ui.ask("부산까지 얼마나 걸리나요?", "chat")
    ui.wait_finished("chat")
    log = ui.element("chat-chat")
    log.locator(".kd-thumb").last.click()
    expect(log.locator(".kd-opinion-note")).not_to_be_empty()
    assert violations(ui.page) == []
    log.locator(".kd-correct").click()
    assert violations(ui.page) == []
    ui.close()


def test_what_people_judged_stays_words(house: House) -> None:
    with httpx2.Client(base_url=house.stack.gateway, trust_env=False) as client:
        judged = {"rater_id": NAME, "category": '"><b class=hostile>', "comment": ANSWER}
        sides = {"left": answer(NAME, ANSWER), "right": answer("base", ANSWER)}
        put(client, "votes", judged | sides | {"choice": "left", "blind": False})
        rated = {"answer": answer(NAME, ANSWER), "score": 1, "tags": ["tone"], "correction": ANSWER}
        put(client, "ratings", judged | rated)
    ui = WebUi(house.browser, house.webui)
    for address in ("", f"?model={quote(NAME)}", f"?model={quote(NAME)}&what=ratings"):
        ui.page.goto(f"{house.webui}/results{address}")
        ui.page.locator("h1").wait_for()
        expect(ui.page.locator("#results-body")).to_contain_text(NAME)
        assert harm(ui) == [], address
    ui.close()


@pytest.mark.parametrize("path", ["/results?model=base"])
def test_no_screen_is_wider_than_a_phone(house: House, path: str) -> None:
    ui = WebUi(house.browser, house.webui, **PHONE)
    ui.page.goto(house.webui + path)
    ui.page.locator("h1").wait_for()
    assert ui.overflow_px() == 0
    assert (ui.errors, ui.foreign) == ([], [])
    ui.close()


def test_an_answer_is_corrected_by_keys_on_a_phone_and_becomes_training_rows(
    house: House, tmp_path: Path
) -> None:
    ui = WebUi(house.browser, house.webui, **PHONE | {"locale": "ko-KR"})
    ui.open("/chat")
    ui.pick("돌리", "chat")
    ui.ask("부산까지 얼마나 걸리나요?", "chat")
    ui.wait_finished("chat")
    log = ui.element("chat-chat")
    note = log.get_by_role("status")
    log.get_by_role("button", name="아쉬워요").press("Enter")
    log.get_by_role("checkbox", name="사실 오류").press("Space")
    log.get_by_role("radio", name="1", exact=True).press("ArrowRight")
    expect(log.get_by_role("button", name="평가 · 2점")).to_be_visible()
    assert [size for size in target_sizes(log) if min(size) < TARGET_PX] == []
    log.get_by_role("button", name="고쳐 쓰기").press("Enter")
    editor = log.get_by_role("textbox", name="고쳐 쓴 답변")
    expect(editor).to_be_focused()
    expect(editor).to_have_value(log.get_by_test_id("bot").inner_text())
    ui.page.route("**/opinion", lambda route: route.abort())
    editor.fill("KTX로 **두 시간 반**쯤 걸립니다.")
    editor.press("Control+Enter")
    expect(note).to_contain_text("쓴 글은 그대로 있습니다")
    ui.page.reload()
    expect(editor).to_have_value("KTX로 **두 시간 반**쯤 걸립니다.")
    ui.page.unroute("**/opinion")
    log.get_by_role("button", name="다시 보내기").press("Enter")
    expect(note).to_have_text("고쳐 쓴 답변을 저장했습니다.")
    ui.page.reload()
    expect(log.get_by_role("region", name="고쳐 쓴 답변").locator("strong")).to_have_text("두 시간 반")
    expect(log.get_by_role("button", name="아쉬워요")).to_have_attribute("aria-pressed", "true")
    assert (ui.overflow_px(), ui.errors, ui.foreign, ui.nameless_buttons()) == (0, [], [], [])
    made = training_rows(house.stack.gateway, tmp_path)
    (row,) = [row for row in made["rows"] if row["instruction"].startswith("부산")]
    assert row["response"] == "KTX로 **두 시간 반**쯤 걸립니다."
    (pair,) = [pair for pair in made["pairs"] if pair["instruction"].startswith("부산")]
    assert (pair["chosen"], pair["rejected"].startswith("돌리-0")) == (row["response"], True)
    forgotten(house, ui, tmp_path)
    ui.close()


def target_sizes(log: Locator) -> list[list[float]]:
    """Width and height of whatever a finger can hit below an answer."""
    found: list[list[float]] = log.evaluate(
        """log => [...log.querySelectorAll("button, label")].filter(one => one.offsetParent)
            .map(one => one.getBoundingClientRect()).map(box => [box.width, box.height])"""
    )
    assert len(found) > 10
    return found


def training_rows(gateway: str, folder: Path) -> dict[str, list[dict[str, str]]]:
    """What `kodolly data from-feedback` writes."""
    done = CliRunner().invoke(from_feedback, ["--gateway", gateway, "--output", str(folder)])
    assert done.exit_code == 0, done.output
    return {
        name: [json.loads(line) for line in (folder / f"{name}.jsonl").read_text("utf-8").splitlines()]
        for name in ("rows", "pairs")
    }


def forgotten(house: House, ui: WebUi, folder: Path) -> None:
    """Whoever asks to be forgotten is, with what nobody judged."""
    question = "아무도 평가하지 않은 질문"
    ui.ask(question, "chat")
    ui.wait_finished("chat")

    def kept() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = house.stack.get("/v1/feedback/conversations")["data"]
        return found

    def raters() -> set[str]:
        """Who has asked that."""
        return {row["rater_id"] for row in kept() if row["messages"][-1]["content"] == question}

    wait_for(lambda: len(raters()) == 1, PATIENCE_S, what="the conversation")
    (rater,) = raters()
    assert len([row for row in kept() if row["rater_id"] == rater]) == 2
    # The web UI's store is not where the command looks: it has a test of its own.
    elsewhere = {"KODOLLY_STATE_DIR": str(folder / "elsewhere")}
    done = CliRunner().invoke(forget, [rater, "--gateway", house.stack.gateway], env=elsewhere)
    assert "1 ratings, 2 conversations" in done.output
    assert [row for row in kept() if row["rater_id"] == rater] == []
