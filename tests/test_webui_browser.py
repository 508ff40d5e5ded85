"""The pages in a real browser: what stays and what leaves, chat, models, looks, life without a gateway."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from tests.support.accessibility import violations
from tests.support.processes import free_port, running, wait_for
from tests.support.webui_driver import WebUi
from tests.support.webui_stage import (
    LIMIT_S,
    Stage,
    compare,
    gateway_command,
    webui_command,
)

pytestmark = pytest.mark.slow


def test_an_untouched_page_is_ready_to_ask(ui: WebUi) -> None:
    for path, page, pane in (("/", "compare", "left"), ("/chat", "chat", "chat")):
        ui.open(path)
        expect(ui.picked(pane)).not_to_have_value("")
        ui.ask("처음 온 사람의 질문", page)
        ui.wait_finished(page)
        expect(ui.metrics(pane)).to_contain_text("완료")
        if page == "compare":
            ui.page.get_by_text("지난 비교").click()
        expect(ui.element(f"{page}-delete")).to_be_enabled()


# What stays, what leaves


def test_reload_keeps_the_conversation_its_rating_and_its_vote(ui: WebUi) -> None:
    compare(ui, "fast", "short")
    ui.ask("기억해 줘")
    ui.wait_finished()
    ui.rate("right", 2)
    expect(ui.element("right-rating-note")).to_contain_text("2점")
    ui.element("vote-left").click()
    expect(ui.element("compare-vote-note")).to_contain_text("왼쪽이 나음")
    ui.open()
    expect(ui.answer("left")).to_contain_text("fast#19")
    expect(ui.answer("right")).to_contain_text("short#19")
    expect(ui.element("left-chat")).to_contain_text("기억해 줘")
    expect(ui.picked("right")).to_have_value("short")
    expect(ui.element("right-rating").get_by_label("2", exact=True)).to_be_checked()
    expect(ui.element("compare-vote-note")).to_contain_text("왼쪽이 나음")
    expect(ui.element("vote-right")).to_be_enabled()


def test_a_reload_during_an_answer_loses_nothing(ui: WebUi, stage: Stage) -> None:
    compare(ui, "gated", "gated-too")
    ui.ask("질문")
    expect(ui.answer("left")).to_contain_text("gated#4")
    ui.page.reload()
    expect(ui.answer("left")).to_contain_text("gated#4")
    expect(ui.metrics("left")).to_contain_text("답변하는 중")
    stage.open_gate()
    expect(ui.answer("left")).to_contain_text("gated#9")
    expect(ui.answer("right")).to_contain_text("gated-too#9")
    ui.wait_finished()
    expect(ui.element("vote-left")).to_be_enabled()


def test_two_tabs_keep_both_conversations(ui: WebUi, stage: Stage) -> None:
    other = ui.tab()
    for tab in (ui, other):
        tab.open("/chat")
        tab.pick("fast", "chat")
    for tab, question in ((ui, "탭 하나"), (other, "탭 둘")):
        tab.ask(question, "chat")
    for tab, own, foreign in ((ui, "탭 하나", "탭 둘"), (other, "탭 둘", "탭 하나")):
        expect(tab.metrics("chat")).to_contain_text("완료")
        tab.page.reload()
        expect(tab.element("chat-chat")).to_contain_text(own)
        expect(tab.element("chat-chat")).not_to_contain_text(foreign)
        expect(tab.element("chat-history")).to_contain_text(foreign)


def test_downloads_hold_both_answers(ui: WebUi) -> None:
    compare(ui, "fast", "short")
    ui.ask("저장할 질문")
    ui.wait_finished()
    for kind in ("markdown", "csv", "json"):
        words = ui.saved("compare", kind).read_text(encoding="utf-8")
        assert "저장할 질문" in words
        assert "fast#19" in words
        assert "short#19" in words
    document = json.loads(words)
    assert document["turns"][0]["right"]["finish_reason"] == "length"


def test_show_prompt_gives_the_final_prompt_or_says_why_not(ui: WebUi, stage: Stage) -> None:
    compare(ui, "fast", "short")
    ui.ask("무엇을 보냈니?")
    ui.wait_finished()
    ui.element("left-show-prompt").click()
    expect(ui.element("left-prompt").locator("textarea")).to_have_value(re.compile("무엇을 보냈니"))
    expect(ui.element("left-prompt-info")).to_contain_text("토큰 · fast")


def test_korean_composition_sends_once(ui: WebUi, stage: Stage) -> None:
    compare(ui, "fast", "short")
    ui.compose_korean("compare-question", "안", "녕", "하", "세", "요")
    box = ui.element("compare-question").locator("textarea")
    expect(box).to_have_value("안녕하세요")
    assert stage.script()["chats"] == []
    box.press("Enter")
    expect(box).to_have_value("")
    ui.wait_finished()
    expect(ui.answer("left")).to_contain_text("fast#19")
    assert [chat["messages"][-1]["content"] for chat in stage.script()["chats"]] == ["안녕하세요"] * 2


def test_an_answer_cannot_make_the_browser_fetch_anything(ui: WebUi) -> None:
    compare(ui, "images", "fast")
    ui.ask("그림")
    ui.wait_finished()
    expect(ui.answer("left")).to_contain_text("끝.")
    expect(ui.answer("left")).to_contain_text('<img src="http://203.0.113.9/b.png">')
    assert ui.element("left-chat").locator("img").count() == 0


def test_an_empty_question_asks_nobody(ui: WebUi, stage: Stage) -> None:
    compare(ui, "fast", "short")
    ui.element("compare-send").click()
    expect(ui.page.get_by_text("질문을 입력하세요.")).to_be_visible()
    assert stage.script()["chats"] == []


def test_an_address_can_open_a_comparison(ui: WebUi) -> None:
    ui.open("/?a=short&b=fast&q=무엇이+다른가요%3F")
    expect(ui.picked("left")).to_have_value("short")
    expect(ui.picked("right")).to_have_value("fast")
    expect(ui.element("compare-question").locator("textarea")).to_have_value("무엇이 다른가요?")


def test_an_example_fills_the_box(ui: WebUi) -> None:
    ui.open()
    ui.element("compare-examples").get_by_text("과적합").click()
    expect(ui.element("compare-question").locator("textarea")).to_have_value(re.compile("과적합"))


# Default pair


def test_without_a_key_base_and_tuned_are_compared_and_one_line_says_how_to_add_it(ui: WebUi) -> None:
    ui.open()
    expect(ui.picked("left")).to_have_value("demo-base")
    expect(ui.picked("right")).to_have_value("demo-dolly")
    expect(ui.element("compare-hint")).to_have_text(
        "ChatGPT를 비교하려면 .env에 OPENAI_API_KEY를 넣고 다시 시작하세요."
    )


def test_with_a_key_chatgpt_and_tuned_are_compared(ui: WebUi, stage: Stage) -> None:
    stage.reset(key_present=True)

    def chosen() -> bool:
        return ui.open().picked("left").input_value() == "gpt-test"

    wait_for(chosen, LIMIT_S, what="ChatGPT on the left")
    expect(ui.picked("right")).to_have_value("demo-dolly")
    expect(ui.element("compare-hint")).to_be_hidden()
    ui.ask("질문")
    ui.wait_finished()
    asked = {chat["model"]: chat for chat in stage.script()["chats"]}
    assert "temperature" not in asked["gpt-test"]
    assert asked["demo-dolly"]["temperature"] == 0.2
    ui.element("left-show-prompt").click()
    expect(ui.element("left-prompt-info")).to_contain_text("공개하지 않습니다")


# Chat and models


def test_chat_keeps_a_history(ui: WebUi, stage: Stage) -> None:
    ui.open("/chat")
    ui.pick("fast", "chat")
    ui.ask("첫 대화", "chat")
    expect(ui.metrics("chat")).to_contain_text("완료")
    ui.element("chat-new").click()
    expect(ui.element("chat-chat")).not_to_contain_text("첫 대화")
    ui.ask("둘째 대화", "chat")
    expect(ui.metrics("chat")).to_contain_text("완료")
    ui.open("/chat")
    expect(ui.element("chat-chat")).to_contain_text("둘째 대화")
    ui.element("chat-history").get_by_text("첫 대화").click()
    expect(ui.element("chat-chat")).to_contain_text("첫 대화")
    ui.element("chat-delete").click()
    expect(ui.element("chat-history")).not_to_contain_text("첫 대화")
    ui.element("chat-restore").click()
    expect(ui.element("chat-history")).to_contain_text("첫 대화")
    expect(ui.element("chat-chat")).to_contain_text("첫 대화")


def test_chat_retry_undo_and_stop(ui: WebUi, stage: Stage) -> None:
    ui.open("/chat")
    ui.pick("endless", "chat")
    ui.ask("끝없이", "chat")
    expect(ui.answer("chat")).to_contain_text("endless#3")
    ui.element("chat-stop").click()
    expect(ui.metrics("chat")).to_contain_text("중지함")
    ui.pick("short", "chat")
    ui.element("chat-retry").click()
    expect(ui.metrics("chat")).to_contain_text("길이 제한으로 끊김")
    ui.element("chat-undo").click()
    expect(ui.element("chat-question").locator("textarea")).to_have_value("끝없이")
    expect(ui.element("chat-chat")).not_to_contain_text("short#")


def test_an_answer_has_versions_and_goes_on_and_a_question_is_edited(ui: WebUi, stage: Stage) -> None:
    ui.open("/chat")
    ui.pick("fast", "chat")
    ui.ask("첫 질문", "chat")
    ui.wait_finished("chat")
    ui.pick("short", "chat")
    ui.element("chat-retry").click()
    expect(ui.metrics("chat")).to_contain_text("길이 제한으로 끊김")
    expect(ui.element("chat-version")).to_have_text("2 / 2")
    ui.element("chat-older").click()
    expect(ui.answer("chat")).to_contain_text("fast#19")
    expect(ui.picked("chat")).to_have_value("fast")
    expect(ui.element("chat-proceed")).to_be_hidden()
    ui.element("chat-newer").click()
    ui.element("chat-proceed").click()
    expect(ui.element("chat-version")).to_have_text("3 / 3")
    expect(ui.answer("chat")).to_have_text(re.compile("short#19 short#0 .*short#19"))
    newest = stage.script()["chats"][-1]
    assert newest["continue_final_message"] is True
    assert newest["messages"][-1]["content"].startswith("short#0 ")
    ui.ask("둘째 질문", "chat")
    ui.wait_finished("chat")
    log = ui.element("chat-chat")
    log.get_by_role("button", name="질문 고쳐 묻기").first.click()
    editor = log.get_by_role("textbox", name="질문 고쳐 묻기")
    expect(editor).to_have_value("첫 질문")
    editor.fill("고친 질문")
    editor.press("Control+Enter")
    expect(log.get_by_test_id("user")).to_have_text(["고친 질문"])
    ui.wait_finished("chat")
    assert [message["content"] for message in stage.script()["chats"][-1]["messages"]] == ["고친 질문"]
    ui.element("chat-history").get_by_text("첫 질문").click()
    expect(log.get_by_test_id("user")).to_have_text(["첫 질문", "둘째 질문"])


def test_models_page_shows_cards_and_snippets(ui: WebUi, stage: Stage) -> None:
    ui.open("/models")
    cards = ui.element("models-cards")
    for words in (
        "demo-dolly",
        "lora",
        "Apache-2.0",
        "dolly_ko 9f2c1ab407d6",
        "1,024 토큰",
        "float32",
        "4.2M",
    ):
        expect(cards).to_contain_text(words)
    expect(ui.element("models-curl")).to_contain_text(f"{stage.gateway}/v1/chat/completions")
    expect(ui.element("models-curl")).to_contain_text("demo-dolly")


# Without a gateway


def test_without_a_gateway_the_page_says_so_and_recovers(browser: Browser, tmp_path: Path) -> None:
    gateway_port, port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    webui = webui_command(port, f"http://127.0.0.1:{gateway_port}")
    env = {"KODOLLY_STATE_DIR": str(tmp_path / "state")}
    with running(webui, tmp_path / "webui.log", f"{url}/healthz", env=env):
        ui = WebUi(browser, url)
        try:
            ui.open()
            expect(ui.element("compare-banner")).to_contain_text("게이트웨이에 연결할 수 없습니다.")
            with running(gateway_command(gateway_port), tmp_path / "gateway.log"):
                expect(ui.picked("left")).to_have_value("demo-base")
                expect(ui.element("compare-banner")).to_be_hidden()
                ui.ask("질문")
                ui.wait_finished()
                expect(ui.metrics("right")).to_contain_text("완료")
            ui.look_again("compare-banner", "게이트웨이에 연결할 수 없습니다.")
            expect(ui.element("compare-banner")).to_contain_text("게이트웨이에 연결할 수 없습니다.")
            ui.ask("또 질문")
            expect(ui.element("left-notice")).to_contain_text("게이트웨이에 연결하지 못했습니다.")
        finally:
            ui.close()


# Looks

IN_REACH = ("vote-left", "vote-tie", "vote-both-bad", "vote-right", "compare-send")


def test_a_wide_window_shows_answers_scores_and_vote_at_once(new_ui: Callable[..., WebUi]) -> None:
    ui = new_ui(viewport={"width": 1440, "height": 900})
    compare(ui, "fast", "short")
    ui.ask("띄어쓰기없는아주긴질문" * 90)
    ui.wait_finished()
    for side in ("left", "right"):
        parts = ("retry", "show-prompt", "chat", "metrics", "rating", "tags")
        assert ui.out_of_reach(*IN_REACH, *(f"{side}-{part}" for part in parts)) == []
    expect(ui.element("compare-sides")).to_be_hidden()


@pytest.mark.parametrize("size", [(1440, 900), (1280, 720), (390, 844)])
def test_a_chat_shows_what_can_be_done_with_its_answer_at_once(
    new_ui: Callable[..., WebUi], size: tuple[int, int]
) -> None:
    ui = new_ui(viewport={"width": size[0], "height": size[1]})
    ui.open("/chat")
    ui.pick("short", "chat")
    ui.ask("띄어쓰기없는아주긴질문" * 90, "chat")
    ui.wait_finished("chat")
    parts = ("chat", "metrics", "retry", "undo", "question", "send", "attach")
    assert ui.out_of_reach(*(f"chat-{part}" for part in parts)) == []
    assert ui.element("chat-composer").evaluate("row => row.offsetHeight") < 60, "one line"


@pytest.mark.parametrize("path", ["/", "/chat", "/models"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_never_scrolls_sideways(new_ui: Callable[..., WebUi], path: str, scheme: str) -> None:
    ui = new_ui(viewport={"width": 390, "height": 844}, is_mobile=True, color_scheme=scheme)
    ui.open(path)
    assert ui.overflow_px() <= 0
    assert ui.page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
    if path == "/":
        ui.ask("띄어쓰기없는아주긴질문" * 30)
        ui.wait_finished()
        assert ui.out_of_reach(*IN_REACH, "left-rating", "left-retry") == []
        expect(ui.element("right-rating")).to_be_hidden()
        tabs = ui.element("compare-sides").get_by_role("button")
        tabs.last.click()
        expect(ui.element("right-rating")).to_be_visible()
        expect(ui.element("right-chat")).to_be_in_viewport(ratio=1)
        assert ui.out_of_reach(*IN_REACH, "right-rating", "right-retry") == []
        ui.element("compare-panes").evaluate("panes => panes.scrollTo(0, 0)")
        expect(tabs.first).to_have_attribute("aria-pressed", "true")
        assert violations(ui.page) == []
        assert ui.overflow_px() <= 0


def test_english_browsers_get_english(new_ui: Callable[..., WebUi]) -> None:
    ui = new_ui(locale="en-US")
    ui.open()
    expect(ui.element("compare-send")).to_have_text("Send")
    expect(ui.element("nav-models")).to_have_text("Models", use_inner_text=True)
    expect(ui.element("left-state")).to_contain_text("ready")
    expect(ui.element("compare-hint")).to_contain_text("To compare with ChatGPT")
    ui.ask("Hello?")
    ui.wait_finished()
    expect(ui.element("compare-vote")).to_contain_text("Which answer is better?")
    expect(ui.metrics("left")).to_contain_text("first text")
    words = ui.page.locator("#left-pane, #right-pane, #compare-vote").all_inner_texts()
    assert not re.search("왼쪽|오른쪽|답변|점수|완료", " ".join(words))


def test_the_page_holds_no_key(stage: Stage) -> None:
    for path in ("/", "/chat", "/models", "/config"):
        assert "sk-page-secret" not in httpx2.get(stage.url + path).text


def test_no_listener_is_a_public_endpoint(stage: Stage) -> None:
    info = httpx2.get(f"{stage.url}/gradio_api/info").json()
    assert info["named_endpoints"] == {}
    assert info["unnamed_endpoints"] == {}
