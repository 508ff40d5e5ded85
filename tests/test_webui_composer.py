"""The question box in a real browser: whatever is typed or sent from its first moment on is kept and goes
out, and a page that draws a lot still hears the reader."""

import itertools
import re

import pytest
from playwright.sync_api import Route, expect

from tests.support.accessibility import violations
from tests.support.processes import wait_for
from tests.support.webui_driver import TIMEOUT_MS, WebUi
from tests.support.webui_stage import Stage, compare

pytestmark = pytest.mark.slow

SLOW_DRAWING = """() => {
    const sanitize = DOMPurify.sanitize;
    DOMPurify.sanitize = (...given) => {
        for (const end = performance.now() + 150; performance.now() < end;);
        return sanitize.apply(DOMPurify, given);
    };
    const frame = requestAnimationFrame;
    window.drawn = [];
    window.requestAnimationFrame = (work) => frame((now) => {
        const began = performance.now();
        work(now);
        if (performance.now() - began >= 150) drawn.push([began, performance.now()]);
    });
}"""
"""Makes each drawing of an answer take 150 ms, and notes when each began and ended."""

HIDE = """(hidden) => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event('visibilitychange'));
}"""

EVENTS = re.compile("/gradio_api/run/|/page/events/")
"""Gradio's, and those that the web UI answers itself."""


def hold_next_event(ui: WebUi) -> list[Route]:
    """Keep the next event of the page from its server; the list has it once the page has sent it."""
    held: list[Route] = []
    ui.page.route(EVENTS, lambda route: route.continue_() if held else held.append(route))
    return held


def wait_until_held(ui: WebUi, held: list[Route]) -> None:
    def sent() -> bool:
        ui.page.wait_for_timeout(20)
        return bool(held)

    wait_for(sent, TIMEOUT_MS / 1000, what="the held event")


@pytest.mark.parametrize(("path", "where"), [("/", "left"), ("/chat", "chat")])
def test_a_question_sent_before_the_page_is_ready_goes_out_when_it_is(
    ui: WebUi, stage: Stage, path: str, where: str
) -> None:
    page = "chat" if path == "/chat" else "compare"
    loading = hold_next_event(ui)
    ui.page.goto(stage.url + path)
    box = ui.element(f"{page}-question").locator("textarea")
    box.fill("첫 질문")
    box.press("Enter")
    expect(ui.element(f"{page}-composer")).to_have_attribute("aria-busy", "true")
    # A page that is looked at again asks for its models: the pickers fill before the load event is answered.
    ui.look_again(f"{where}-state", "준비됨")
    box.press("Enter")
    expect(box).to_have_value("첫 질문")
    assert stage.script()["chats"] == []
    wait_until_held(ui, loading)
    loading[0].continue_()
    expect(ui.element(f"{where}-chat").get_by_test_id("user")).to_have_text("첫 질문")
    expect(box).to_have_value("")
    expect(ui.page.locator(".kd-told")).to_have_count(0)  # nobody was told to choose a model first
    ui.wait_finished(page)


def test_what_is_typed_while_a_question_goes_out_stays(ui: WebUi) -> None:
    ui.open("/chat")
    ui.pick("fast", "chat")
    box = ui.element("chat-question").locator("textarea")
    sending = hold_next_event(ui)
    box.fill("하나")
    box.press("Enter")
    wait_until_held(ui, sending)
    box.press_sequentially(" 둘")
    sending[0].continue_()
    expect(ui.element("chat-chat").get_by_test_id("user")).to_have_text("하나")
    expect(box).to_have_value("둘")
    ui.wait_finished("chat")
    ui.page.reload()
    expect(box).to_have_value("둘")


def test_a_question_that_the_web_ui_does_not_take_stays_and_goes_out_once(ui: WebUi, stage: Stage) -> None:
    ui.open("/chat")
    ui.pick("fast", "chat")
    box = ui.element("chat-question").locator("textarea")
    sent: list[Route] = []

    def fail(route: Route) -> None:
        sent.append(route)
        if len(sent) == 1:
            route.abort()
        elif len(sent) == 2:
            route.fulfill(status=400)
        else:
            route.continue_()

    ui.page.route("**/page/events/chat-begin*", fail)
    box.fill("하나")
    for words in ("응답하지 않습니다", "새로고침"):
        box.press("Enter")
        expect(ui.page.locator(".kd-told")).to_contain_text(words)
        expect(box).to_have_value("하나")
    for _ in range(3):
        box.press("Enter")  # while the first is on its way the others are left out
    expect(box).to_have_value("")
    ui.wait_finished("chat")
    assert [len(chat["messages"]) for chat in stage.script()["chats"]] == [1]


def ask_while_held(ui: WebUi, page: str, question: str, held: list[Route]) -> None:
    """Ask before an event that was just caused is answered, then have it answered: the question waits."""
    wait_until_held(ui, held)
    begun: list[str] = []
    ui.page.on("request", lambda asked: begun.append(asked.url) if f"{page}-begin" in asked.url else None)
    box = ui.element(f"{page}-question").locator("textarea")
    box.fill(question)
    box.press("Enter")
    ui.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert begun == []
    held[0].continue_()


def test_a_question_sent_beside_the_switch_for_names_stays_and_hides_them(ui: WebUi) -> None:
    compare(ui, "fast", "short")
    held = hold_next_event(ui)
    ui.element("compare-blind").locator("input").check()
    ask_while_held(ui, "compare", "질문", held)
    ui.wait_finished()
    for side in ("left", "right"):
        expect(ui.element(f"{side}-chat").get_by_test_id("user")).to_have_text("질문")
        expect(ui.element(f"{side}-state")).to_contain_text("이름 가림")
    expect(ui.element("compare-vote")).to_be_visible()


@pytest.mark.parametrize(("page", "new", "where"), [("compare", "clear", "left"), ("chat", "new", "chat")])
def test_a_question_sent_right_after_new_begins_a_new_conversation(
    ui: WebUi, page: str, new: str, where: str
) -> None:
    ui.open("/chat" if page == "chat" else "/")
    for pane in ("left", "right") if page == "compare" else ("chat",):
        ui.pick("fast", pane)
    ui.ask("하나", page)
    ui.wait_finished(page)
    held = hold_next_event(ui)
    ui.element(f"{page}-{new}").click()
    ask_while_held(ui, page, "둘", held)
    expect(ui.element(f"{where}-chat").get_by_test_id("user")).to_have_text("둘")
    ui.wait_finished(page)
    expect(ui.element(f"{where}-chat").get_by_test_id("user")).to_have_text("둘")


def test_a_page_that_draws_for_long_lets_input_in_between(ui: WebUi, stage: Stage) -> None:
    compare(ui, "endless", "endless")
    ui.page.evaluate(SLOW_DRAWING)
    ui.ask("끝없이")
    for side in ("left", "right"):
        expect(ui.answer(side)).to_contain_text("endless#3")
    ui.page.wait_for_function("drawn.length >= 6")
    ui.element("compare-stop").click()
    for side in ("left", "right"):
        expect(ui.metrics(side)).to_contain_text("중지함")
    drawn = ui.page.evaluate("drawn")
    rests = [(began - ended, ended - before) for (before, ended), (began, _) in itertools.pairwise(drawn)]
    assert [rest for rest in rests if rest[0] < rest[1]] == []
    assert stage.script()["ended"] == ["endless", "endless"]


def test_a_hidden_tab_draws_nothing_until_it_is_seen(ui: WebUi, stage: Stage) -> None:
    ui.open("/chat")
    ui.pick("gated", "chat")
    ui.ask("질문", "chat")
    expect(ui.answer("chat")).to_contain_text("gated#4")
    ui.page.evaluate(HIDE, True)
    stage.open_gate()
    ui.wait_finished("chat")
    assert "gated#9" not in ui.answer("chat").inner_text()
    ui.page.evaluate(HIDE, False)
    expect(ui.answer("chat")).to_contain_text("gated#9")


def test_keys_do_what_the_help_sheet_says(ui: WebUi, stage: Stage) -> None:
    compare(ui, "fast", "short")
    ui.element("compare-question").locator("textarea").press("?")
    expect(ui.element("help")).to_be_hidden()
    ui.element("compare-question").locator("textarea").fill("")
    ui.ask("질문")
    ui.wait_finished()
    keys = ui.page.keyboard
    ui.element("help-open").focus()
    keys.press("?")
    sheet = ui.element("help")
    expect(sheet).to_contain_text("투표: 왼쪽, 비슷함, 둘 다 나쁨, 오른쪽", use_inner_text=True)
    assert violations(ui.page) == []
    keys.press("1")
    keys.press("Escape")
    expect(sheet).to_be_hidden()
    keys.press("3")
    expect(ui.element("compare-vote-note")).to_contain_text("둘 다 나쁨")
    assert [vote["choice"] for vote in stage.script()["votes"].values()] == ["both_bad"]
    keys.press("/")
    expect(ui.element("compare-question").locator("textarea")).to_be_focused()
    ui.element("help-open").click()
    ui.element("help-letters").uncheck()
    ui.element("help-close").click()
    keys.press("n")
    keys.press("?")
    expect(sheet).to_be_hidden()
    ui.element("help-open").click()
    ui.element("help-letters").check()
    ui.element("help-close").click()
    keys.press("n")
    expect(ui.element("compare-examples")).to_be_visible()


def test_escape_closes_the_sheet_before_it_stops_the_answers(ui: WebUi) -> None:
    ui.open("/chat")
    ui.pick("endless", "chat")
    ui.ask("끝없이", "chat")
    ui.element("help-open").click()
    expect(ui.element("help")).to_contain_text("새 대화", use_inner_text=True)
    ui.page.keyboard.press("Escape")
    expect(ui.element("help")).to_be_hidden()
    expect(ui.element("chat-stop")).to_be_visible()
    ui.page.keyboard.press("Escape")
    expect(ui.metrics("chat")).to_contain_text("중지함")
