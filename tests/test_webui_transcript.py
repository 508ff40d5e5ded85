"""How answers reach a page and are drawn there, in a real browser: many tabs, a process that dies, formulas,
hostile words."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from tests.support.accessibility import violations
from tests.support.hostile import harm
from tests.support.hostile_words import ANSWER, NAME, PROMPT
from tests.support.processes import free_port, running, wait_for
from tests.support.relay import Relay, relaying
from tests.support.webui_driver import WebUi
from tests.support.webui_stage import (
    LIMIT_S,
    Stage,
    compare,
    webui_command,
)
from webui.store.growing_answers import ABANDONED_S

pytestmark = pytest.mark.slow

STREAMING = 6
"""As many tabs as a browser has connections to one host."""

DRAWN = """## 근의 공식

$x^2$과 \\(a+b\\) 그리고 값은 $5 와 $6 입니다.

\\[
x = \\frac{-b \\pm \\sqrt{b^2-4ac}}{2a}
\\]

$$
- y
= 1
$$

| 가 | 나 |
|---|---|
| 1 | List<String> |

```python
def __init__(self, *args, **kwargs): ...
```"""


@pytest.fixture
def ui(new_ui: Callable[..., WebUi]) -> WebUi:
    return new_ui(permissions=["clipboard-read", "clipboard-write"])


def chat(ui: WebUi, model: str, question: str) -> WebUi:
    ui.open("/chat")
    ui.pick(model, "chat")
    ui.ask(question, "chat")
    return ui


def clipboard(ui: WebUi) -> str:
    words: str = ui.page.evaluate("navigator.clipboard.readText()")
    return words


def test_six_tabs_stream_at_once_and_each_can_be_stopped(ui: WebUi, stage: Stage) -> None:
    tabs = [ui, *(ui.tab() for _ in range(STREAMING - 1))]
    for tab in tabs:  # before any asks: a page opens the conversation that was asked in last
        tab.open("/chat")
        tab.pick("endless", "chat")
    for number, tab in enumerate(tabs):
        tab.ask(f"끝없이 {number}", "chat")
    for tab in tabs:
        seen = tab.answer("chat").inner_text()
        expect(tab.answer("chat")).not_to_have_text(seen)
    for tab in tabs:
        tab.element("chat-stop").click()
        expect(tab.metrics("chat")).to_contain_text("중지함")
        expect(tab.element("chat-send")).to_be_visible()
    assert stage.script()["ended"] == ["endless"] * STREAMING


def test_a_page_asks_for_nothing_once_its_answer_has_ended(ui: WebUi) -> None:
    chat(ui, "fast", "질문")
    ui.wait_finished("chat")
    asked: list[str] = []
    ui.page.on("request", lambda request: asked.append(request.url))
    # Longer than the longest rest between two requests while an answer grows.
    ui.page.wait_for_timeout(2500)
    assert [address for address in asked if "/page/answers" in address] == []


def test_a_reload_of_a_chat_in_mid_answer_goes_on(ui: WebUi, stage: Stage) -> None:
    chat(ui, "gated", "질문")
    expect(ui.answer("chat")).to_contain_text("gated#4")
    ui.page.reload()
    expect(ui.answer("chat")).to_contain_text("gated#4")
    stage.open_gate()
    expect(ui.answer("chat")).to_contain_text("gated#9")
    ui.wait_finished("chat")
    assert len(stage.script()["chats"]) == 1


def test_formulas_tables_and_code_are_drawn_and_copied_as_written(ui: WebUi) -> None:
    chat(ui, "echo", DRAWN)
    ui.wait_finished("chat")
    answer = ui.answer("chat")
    expect(answer.locator(".katex")).to_have_count(4)
    expect(answer.locator(".katex-display")).to_have_count(2)
    expect(answer).to_contain_text("값은 $5 와 $6 입니다.")
    expect(answer.locator("h2")).to_have_text("근의 공식")
    expect(answer.locator("td").last).to_have_text("List<String>")
    answer.locator(".kd-code .kd-copy").click()
    assert clipboard(ui) == "def __init__(self, *args, **kwargs): ...\n"
    ui.element("chat-chat").locator(".kd-bot > .kd-copy").click()
    assert clipboard(ui) == DRAWN
    expect(ui.element("chat-chat").get_by_test_id("user")).to_have_text(DRAWN)
    assert ui.element("chat-chat").get_by_test_id("user").locator("*").count() == 0


def test_reasoning_is_folded_above_its_answer(ui: WebUi) -> None:
    chat(ui, "thinks", "질문")
    ui.wait_finished("chat")
    expect(ui.answer("chat").locator("em")).to_have_text("답")
    thoughts = ui.element("chat-chat").locator(".kd-thoughts")
    expect(thoughts).to_be_hidden()
    ui.element("chat-chat").locator("summary").click()
    expect(thoughts).to_have_text("먼저 <b>곰곰이</b> 생각합니다.")
    expect(ui.metrics("chat")).to_contain_text("첫 생각")


@pytest.mark.parametrize(
    "said", ["<think>먼저 <b>생각</b>\n</think>\n그래서 *답*", "먼저 <b>생각</b>\n</think>\n\n그래서 *답*"]
)
def test_reasoning_that_no_parser_took_out_is_folded_and_copied_as_written(ui: WebUi, said: str) -> None:
    chat(ui, "echo", said)
    ui.wait_finished("chat")
    expect(ui.answer("chat").locator("em")).to_have_text("답")
    expect(ui.answer("chat")).to_have_text("그래서 답")
    expect(ui.element("chat-chat").locator(".kd-thoughts")).to_have_text("먼저 <b>생각</b>")
    ui.element("chat-chat").locator(".kd-bot > .kd-copy").click()
    assert clipboard(ui) == said


def test_hostile_answers_questions_names_prompts_and_titles_stay_inert(ui: WebUi, stage: Stage) -> None:
    stage.reset(models=["echo", NAME])
    wait_for(lambda: NAME in ui.open("/models").page.inner_text("body"), LIMIT_S, what="the hostile name")
    ui.pick(NAME, "models")
    expect(ui.element("models-curl")).to_contain_text("class=")
    assert harm(ui) == []
    chat(ui, "echo", ANSWER)
    ui.wait_finished("chat")
    expect(ui.answer("chat")).to_contain_text("끝까지 왔습니다.")
    expect(ui.answer("chat")).to_contain_text("window.hacked = 1</script>")
    chat_box = ui.element("chat-chat")
    assert chat_box.locator("img, iframe, script, style, form, input, object, embed, base, meta").count() == 0
    links = [link.get_attribute("href") or "" for link in chat_box.locator("a").all()]
    assert [link for link in links if not link.startswith("http")] == []
    assert chat_box.evaluate("box => [...box.querySelectorAll('*')].flatMap(e => [...e.attributes])"
                             ".filter(a => a.name.startsWith('on')).length") == 0  # fmt: skip
    assert harm(ui) == []
    compare(ui, "echo", NAME)
    ui.set_system("left", PROMPT)
    ui.ask(ANSWER)
    ui.wait_finished()
    expect(ui.element("right-notice")).to_contain_text(NAME)
    ui.element("left-show-prompt").click()
    expect(ui.element("left-prompt").locator("textarea")).to_have_value(re.compile("7\\*7"))
    ui.page.get_by_text("지난 비교").click()
    title = ui.element("compare-title").locator("input, textarea")
    title.fill(NAME)
    title.press("Enter")
    expect(ui.element("compare-history")).to_contain_text(NAME)
    ui.page.reload()
    expect(ui.answer("left")).to_contain_text("끝까지 왔습니다.")
    ui.page.get_by_text("지난 비교").click()
    ui.element("compare-delete").click()
    expect(ui.element("compare-deleted")).to_contain_text(NAME)
    assert harm(ui) == []


def test_a_picture_is_drawn_without_help_from_anywhere(ui: WebUi) -> None:
    compare(ui, "echo", "fast")
    ui.ask(f"{ANSWER}\n\n$x^2$ \u0001")
    ui.wait_finished()
    with Image.open(ui.saved("compare", "png")) as picture:
        assert picture.width == 2160
        colours = picture.convert("RGB").resize((216, picture.height // 10)).getcolors(10**6)
    assert colours is not None
    assert len(colours) > 50  # letters, not an empty sheet
    assert ui.page.locator("iframe").count() == 0
    assert harm(ui) == []


def test_a_conversation_is_shown_to_others_until_it_is_taken_back(
    ui: WebUi, new_ui: Callable[..., WebUi]
) -> None:
    ui.open("/chat")
    ui.pick("echo", "chat")
    ui.element("chat-context-box").locator("button").first.click()
    ui.element("chat-context").locator("textarea").fill(f"문맥 {NAME}")
    ui.ask(f"**굵게** {NAME}", "chat")
    expect(ui.element("chat-context").locator("textarea")).to_have_value("")
    ui.wait_finished("chat")
    ui.element("chat-share").click()
    address = ui.element("chat-share-note").locator("a").get_attribute("href") or ""
    ui.ask("공유한 다음의 질문", "chat")
    ui.wait_finished("chat")
    other = new_ui(locale="en-US", viewport={"width": 390, "height": 844})
    other.page.goto(address)
    expect(other.page.locator("article strong")).to_have_text("굵게")
    expect(other.page.locator(".asked")).to_have_text(f"**굵게** {NAME}")
    expect(other.page.locator("details div")).to_have_text(f"문맥 {NAME}")
    assert (harm(other), violations(other.page), other.overflow_px()) == ([], [], 0)
    ui.element("chat-share").click()
    expect(ui.element("chat-share-note").locator("a")).to_have_attribute("href", address)

    def both_seen() -> bool:
        other.page.reload()
        return other.page.locator("section").count() == 2

    wait_for(both_seen, LIMIT_S, what="what was asked since")
    ui.element("chat-share-end").click()
    expect(ui.element("chat-share-end")).to_be_hidden()
    other.page.reload()
    expect(other.page.locator("h1")).to_have_text("No longer shared")
    assert violations(other.page) == []


def test_a_process_that_dies_is_told_and_the_page_goes_on_when_it_is_back(
    browser: Browser, stage: Stage, tmp_path: Path
) -> None:
    stage.reset()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = {"KODOLLY_STATE_DIR": str(tmp_path / "state")}
    command = webui_command(port, stage.gateway)
    ui = WebUi(browser, url)
    try:
        with running(command, tmp_path / "first.log", f"{url}/healthz", env=env) as process:
            chat(ui, "gated", "질문")
            expect(ui.answer("chat")).to_contain_text("gated#4")
            process.kill()
        expect(ui.metrics("chat")).to_contain_text("웹 UI가 응답하지 않습니다")
        with running(command, tmp_path / "second.log", f"{url}/healthz", env=env):
            # Nobody fetches that answer any more; the store says so of one that was not written for a while.
            expect(ui.metrics("chat")).to_contain_text("중지함", timeout=2 * ABANDONED_S * 1000)
            ui.wait_finished("chat")
            ui.pick("fast", "chat")
            ui.ask("다시", "chat")
            expect(ui.answer("chat")).to_contain_text("fast#19")
    finally:
        ui.close()


def test_two_processes_behind_one_port_without_stickiness_serve_as_one(
    browser: Browser, stage: Stage, tmp_path: Path
) -> None:
    stage.reset()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    second = webui_command(port, stage.gateway)
    with (
        running(second, tmp_path / "log", f"{url}/healthz", env=stage.environment),
        relaying(stage.url, url) as relay,
    ):
        ui = WebUi(browser, relay.url)
        try:
            other_process_shows_and_stops(ui, relay, stage)
            both_in_turn_show_each_word_once(ui, relay, stage)
        finally:
            ui.close()


def other_process_shows_and_stops(ui: WebUi, relay: Relay, stage: Stage) -> None:
    relay.only = 0
    chat(ui, "endless", "끝없이")
    expect(ui.answer("chat")).to_contain_text("endless#9 ")
    relay.only = 1
    ui.page.reload()
    expect(ui.answer("chat")).to_contain_text("endless#9 ")
    expect(ui.element("chat-stop")).to_be_visible()
    second = ui.tab().open("/chat")
    box = second.element("chat-question").locator("textarea")
    box.fill("그동안 다른 질문")  # to the conversation that the first process answers
    box.press("Enter")
    expect(second.page.get_by_text("앞 답변이 아직 끝나지 않았습니다.")).to_be_visible()
    ui.element("chat-stop").click()
    expect(ui.metrics("chat")).to_contain_text("중지함")
    wait_for(lambda: stage.script()["ended"] == ["endless"], LIMIT_S, what="the end of the fetch")
    kept = ui.answer("chat").inner_text()
    relay.only = 0
    ui.page.reload()
    expect(ui.answer("chat")).to_have_text(kept)
    second.page.close()


def both_in_turn_show_each_word_once(ui: WebUi, relay: Relay, stage: Stage) -> None:
    relay.only = None
    before = len(relay.asked)
    ui.pick("gated", "chat")
    ui.ask("번갈아", "chat")
    expect(ui.answer("chat")).to_contain_text("gated#4")
    ui.page.reload()
    expect(ui.answer("chat")).to_contain_text("gated#4")
    stage.open_gate()
    ui.wait_finished("chat")
    assert ui.answer("chat").inner_text().split() == [f"gated#{number}" for number in range(10)]
    assert set(relay.asked[before:]) == {0, 1}
    assert [one["model"] for one in stage.script()["chats"]] == ["endless", "gated"]
