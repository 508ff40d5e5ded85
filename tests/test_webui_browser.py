"""The pages in a real browser, against a scripted gateway over real HTTP."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from tests.webui_driver import CHROMIUM, WebUi, chromium

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SERVER_START_S = 60.0


@dataclass(frozen=True)
class Stage:
    """The web UI and the gateway behind it, each a process."""

    url: str
    gateway: str

    def script(self) -> dict[str, Any]:
        """What has arrived at the gateway."""
        arrived: dict[str, Any] = httpx2.get(f"{self.gateway}/script").json()
        return arrived

    def open_gate(self) -> None:
        httpx2.post(f"{self.gateway}/script/open")

    def reset(self, **world: Any) -> None:
        httpx2.post(f"{self.gateway}/script/reset", json=world)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
    """Ask again and again; fails with `what` when it never became true."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"never happened: {what}")
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        return httpx2.get(url).is_success
    except httpx2.HTTPError:
        return False


@contextmanager
def processes(cwd: Path, *commands: list[str]) -> Iterator[None]:
    """Run commands side by side inside the block."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KODOLLY_API_KEY": "sk-page-secret"}
    running = [subprocess.Popen([sys.executable, *command], cwd=cwd, env=environment) for command in commands]
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(timeout=20)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    gateway_port, port = free_port(), free_port()
    stage = Stage(url=f"http://127.0.0.1:{port}", gateway=f"http://127.0.0.1:{gateway_port}")
    scripted = [str(ROOT / "tests/scripted_gateway.py"), str(gateway_port)]
    webui = ["-m", "kodolly", "webui", "--port", str(port), "--gateway", stage.gateway]
    with processes(tmp_path_factory.mktemp("webui"), scripted, webui):
        for ready in (f"{stage.gateway}/script", f"{stage.url}/healthz"):
            wait_until(lambda ready=ready: answers(ready), f"{ready} answers", SERVER_START_S)
        yield stage


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        if os.environ.get("CI"):
            pytest.fail(f"{CHROMIUM} is missing")
        pytest.skip(f"{CHROMIUM} is missing")
    with chromium() as browser:
        yield browser


@pytest.fixture
def new_ui(browser: Browser, stage: Stage) -> Iterator[Callable[..., WebUi]]:
    """Makes browser pages; afterwards none of them has left this machine or had a script error."""
    stage.reset()
    made: list[WebUi] = []

    def make(**context: Any) -> WebUi:
        made.append(WebUi(browser, stage.url, **context))
        return made[-1]

    yield make
    for ui in made:
        ui.close()
    assert [ui.foreign for ui in made] == [[] for _ in made]
    assert [ui.errors for ui in made] == [[] for _ in made]


@pytest.fixture
def ui(new_ui: Callable[..., WebUi]) -> WebUi:
    return new_ui()


def compare(ui: WebUi, left: str, right: str) -> None:
    ui.open()
    ui.pick(left, "left")
    ui.pick(right, "right")


# Two independent panes


def test_both_panes_show_text_before_either_has_finished(ui: WebUi, stage: Stage) -> None:
    compare(ui, "gated", "gated-too")
    ui.ask("안녕하세요?")
    for side, model in (("left", "gated"), ("right", "gated-too")):
        expect(ui.answer(side)).to_contain_text(f"{model}#4")
        expect(ui.metrics(side)).to_contain_text("답변하는 중")
    expect(ui.element("compare-vote")).to_be_hidden()
    stage.open_gate()
    for side, model in (("left", "gated"), ("right", "gated-too")):
        expect(ui.answer(side)).to_have_text(" ".join(f"{model}#{n}" for n in range(10)))
        expect(ui.metrics(side)).to_contain_text("10 토큰")
        expect(ui.metrics(side)).to_contain_text("완료")
        expect(ui.metrics(side)).to_contain_text("토큰/초")
        expect(ui.metrics(side)).to_contain_text("첫 글자")


def test_a_fast_side_ends_while_the_slow_one_waits(ui: WebUi, stage: Stage) -> None:
    compare(ui, "gated", "short")
    ui.ask("질문")
    expect(ui.metrics("right")).to_contain_text("길이 제한으로 끊김")
    expect(ui.metrics("left")).to_contain_text("답변하는 중")
    expect(ui.element("compare-stop")).to_be_visible()
    stage.open_gate()
    ui.wait_finished()


def test_the_same_model_on_both_sides_has_two_streams(ui: WebUi, stage: Stage) -> None:
    compare(ui, "gated", "gated")
    ui.set_system("left", "가")
    ui.set_system("right", "나")
    stage.open_gate()
    ui.ask("질문")
    expect(ui.answer("left")).to_have_text(" ".join(f"gated/가#{n}" for n in range(10)))
    expect(ui.answer("right")).to_have_text(" ".join(f"gated/나#{n}" for n in range(10)))


def test_a_second_question_goes_with_each_sides_own_history(ui: WebUi, stage: Stage) -> None:
    compare(ui, "fast", "short")
    ui.ask("첫째")
    ui.wait_finished()
    ui.ask("둘째")
    wait_until(lambda: len(stage.script()["chats"]) == 4, "four requests")
    ui.wait_finished()
    for chat in stage.script()["chats"][2:]:
        contents = [message["content"] for message in chat["messages"]]
        assert contents[0] == "첫째"
        assert contents[1].startswith(f"{chat['model']}#0")
        assert contents[2] == "둘째"
        assert chat["stream_options"] == {"include_usage": True}
        assert chat["max_completion_tokens"] == 512


def test_stop_ends_both_answers_and_their_requests(ui: WebUi, stage: Stage) -> None:
    compare(ui, "endless", "endless")
    ui.ask("끝없이")
    for side in ("left", "right"):
        expect(ui.answer(side)).to_contain_text("endless#3")
    ui.element("compare-stop").click()
    for side in ("left", "right"):
        expect(ui.metrics(side)).to_contain_text("중지함")
        expect(ui.answer(side)).to_contain_text("endless#3")
    ui.wait_finished()
    expect(ui.element("vote-tie")).to_be_disabled()
    wait_until(lambda: stage.script()["ended"] == ["endless", "endless"], "both requests ended")


def test_closing_the_page_ends_the_requests(ui: WebUi, stage: Stage) -> None:
    compare(ui, "endless", "endless")
    ui.ask("끝없이")
    expect(ui.answer("right")).to_contain_text("endless#3")
    ui.close()
    wait_until(lambda: stage.script()["ended"] == ["endless", "endless"], "both requests ended")


# Failures


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("wrong-key", "외부 서비스가 API 키를 거절했습니다."),
        ("too-slow", "제한 시간 안에 답변이 오지 않았습니다."),
        ("dead", "모델 서버가 답변하지 못했습니다."),
        ("breaks", "답변하던 모델 서버가 중간에 멈췄습니다."),
        ("silent", "답변이 끝나기 전에 연결이 끊겼습니다."),
        ("loading", "모델이 아직 준비되지 않았습니다."),
        ("limited", "요청이 너무 많거나 사용 한도에 이르렀습니다."),
        ("gone", "게이트웨이에 이 모델이 없습니다."),
    ],
)
def test_a_failing_side_says_why_and_the_other_goes_on(
    ui: WebUi, stage: Stage, model: str, words: str
) -> None:
    compare(ui, model, "gated")
    ui.ask("질문")
    card = ui.element("left-notice")
    expect(card).to_contain_text(words)
    expect(card).to_contain_text("req-")
    expect(ui.metrics("right")).to_contain_text("답변하는 중")
    stage.open_gate()
    expect(ui.answer("right")).to_contain_text("gated#9")
    expect(ui.metrics("right")).to_contain_text("완료")
    expect(ui.element("right-notice")).not_to_contain_text("req-")
    for choice in ("left", "tie", "both-bad", "right"):
        expect(ui.element(f"vote-{choice}")).to_be_disabled()
    expect(ui.element("left-rating-box")).to_be_hidden()
    expect(ui.element("right-rating-box")).to_be_visible()


def test_retry_with_another_model_mends_one_side_only(ui: WebUi, stage: Stage) -> None:
    compare(ui, "dead", "fast")
    ui.ask("질문")
    expect(ui.element("left-notice")).to_contain_text("모델 서버가 답변하지 못했습니다.")
    ui.wait_finished()
    ui.pick("short", "left")
    ui.element("left-retry").click()
    expect(ui.answer("left")).to_contain_text("short#19")
    expect(ui.element("left-notice")).not_to_contain_text("모델 서버")
    expect(ui.element("vote-left")).to_be_enabled()
    assert [chat["model"] for chat in stage.script()["chats"]].count("fast") == 1


def test_states_of_models_are_shown(ui: WebUi) -> None:
    compare(ui, "loading", "dead")
    expect(ui.element("left-state")).to_contain_text("불러오는 중 62%")
    expect(ui.element("right-state")).to_contain_text("응답 없음 (마지막 신호 14초 전)")


def test_the_model_list_follows_the_gateway(ui: WebUi, stage: Stage) -> None:
    ui.open()
    stage.reset(models=["demo-base", "demo-dolly", "fast", "gated-too"])

    def listed() -> bool:
        ui.picked("left").click()
        options = ui.page.get_by_role("option")
        options.first.wait_for()
        names = options.all_inner_texts()
        ui.picked("left").blur()
        expect(options).to_have_count(0)
        return [name.strip("✓ \n") for name in names] == ["demo-base", "demo-dolly", "fast", "gated-too"]

    wait_until(listed, "the shorter list")


# Feedback


def test_a_vote_and_a_rating_arrive(ui: WebUi, stage: Stage) -> None:
    compare(ui, "fast", "short")
    ui.ask("질문")
    ui.wait_finished()
    ui.rate("left", 4, "장황함", "말투")
    expect(ui.element("left-rating-note")).to_contain_text("4점")
    wait_until(
        lambda: [len(rating["tags"]) for rating in stage.script()["ratings"].values()] == [2], "both tags"
    )
    ui.element("vote-both-bad").click()
    expect(ui.element("compare-vote-note")).to_contain_text("투표를 저장했습니다: 둘 다 나쁨")
    expect(ui.element("vote-tie")).to_be_disabled()
    script = stage.script()
    (vote,), (rating,) = script["votes"].values(), script["ratings"].values()
    assert (vote["choice"], vote["blind"], vote["locale"]) == ("both_bad", False, "ko")
    assert (vote["left"]["model"], vote["right"]["model"]) == ("fast", "short")
    assert vote["left"]["answer"].split() == [f"fast#{n}" for n in range(20)]
    assert vote["left"]["messages"] == [{"role": "user", "content": "질문"}]
    assert vote["right"]["finish_reason"] == "length"
    assert vote["right"]["tokens"] == 20
    assert vote["right"]["request_id"].startswith("req-")
    assert vote["right"]["ttft_ms"] > 0
    assert set(rating["tags"]) == {"verbose", "tone"}
    assert (rating["score"], rating["blind"], rating["answer"]["model"]) == (4, False, "fast")


def test_blind_hides_the_names_until_the_vote_and_stores_the_right_ones(ui: WebUi, stage: Stage) -> None:
    compare(ui, "fast", "short")
    ui.element("compare-blind").locator("input").check()
    orders = set()
    for round_number in range(24):
        ui.ask(f"질문 {round_number}")
        expect(ui.element("left-state")).to_contain_text("이름 가림")
        ui.wait_finished()
        chrome = ui.page.locator("#left-state, #right-state, .kd-metrics, #compare-vote, #left-setup")
        assert not re.search("fast|short", " ".join(chrome.all_inner_texts()))
        expect(ui.element("left-setup")).to_be_hidden()
        expect(ui.element("left-show-prompt")).to_be_hidden()
        shown = ui.answer("left").inner_text().split("#")[0]
        ui.element("vote-left").click()
        expect(ui.element("left-state")).to_contain_text(shown)
        expect(ui.picked("left")).to_have_value(shown)
        newest = list(stage.script()["votes"].values())[-1]
        assert newest["blind"] is True
        assert newest["left"]["model"] == shown
        assert newest["left"]["answer"].startswith(f"{shown}#0")
        assert newest["right"]["model"] == ({"fast", "short"} - {shown}).pop()
        orders.add(shown)
        if len(orders) == 2:
            break
        ui.element("compare-clear").click()
        expect(ui.element("compare-examples")).to_be_visible()
    assert orders == {"fast", "short"}, "the sides are never shuffled"


def test_a_failure_does_not_tell_a_hidden_name(ui: WebUi) -> None:
    compare(ui, "dead", "too-slow")
    ui.element("compare-blind").locator("input").check()
    ui.ask("질문")
    ui.wait_finished()
    for side in ("left", "right"):
        expect(ui.element(f"{side}-notice")).to_contain_text("req-")
        assert not re.search("dead|too-slow|Scripted", ui.element(f"{side}-notice").inner_text())
    ui.element("compare-blind").locator("input").uncheck()
    expect(ui.element("left-setup")).to_be_visible()
    expect(ui.element("left-notice")).to_contain_text("Scripted")


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
    expect(ui.element("vote-right")).to_be_disabled()


def test_reload_during_an_answer_leaves_a_usable_page(ui: WebUi, stage: Stage) -> None:
    compare(ui, "gated", "gated-too")
    ui.ask("질문")
    expect(ui.answer("left")).to_contain_text("gated#4")
    ui.open()
    expect(ui.metrics("left")).to_contain_text("중지함")
    stage.open_gate()
    ui.element("left-retry").click()
    expect(ui.answer("left")).to_contain_text("gated#9")


def test_downloads_hold_both_answers(ui: WebUi) -> None:
    compare(ui, "fast", "short")
    ui.ask("저장할 질문")
    ui.wait_finished()
    for kind in ("markdown", "json"):
        with ui.page.expect_download() as download:
            ui.element(f"compare-save-{kind}").click()
        words = Path(download.value.path()).read_text(encoding="utf-8")
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

    wait_until(chosen, "ChatGPT on the left")
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
    webui = ["-m", "kodolly", "webui", "--port", str(port), "--gateway", f"http://127.0.0.1:{gateway_port}"]
    with processes(tmp_path, webui):
        wait_until(lambda: answers(f"{url}/healthz"), "the web UI answers", SERVER_START_S)
        ui = WebUi(browser, url)
        try:
            ui.open()
            expect(ui.element("compare-banner")).to_contain_text("게이트웨이에 연결할 수 없습니다.")
            with processes(tmp_path, [str(ROOT / "tests/scripted_gateway.py"), str(gateway_port)]):
                expect(ui.picked("left")).to_have_value("demo-base")
                expect(ui.element("compare-banner")).to_be_hidden()
                ui.ask("질문")
                ui.wait_finished()
                expect(ui.metrics("right")).to_contain_text("완료")
            expect(ui.element("compare-banner")).to_contain_text("게이트웨이에 연결할 수 없습니다.")
            ui.ask("또 질문")
            expect(ui.element("left-notice")).to_contain_text("게이트웨이에 연결하지 못했습니다.")
        finally:
            ui.close()


# Looks


@pytest.mark.parametrize("path", ["/", "/chat", "/models"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_never_scrolls_sideways(new_ui: Callable[..., WebUi], path: str, scheme: str) -> None:
    ui = new_ui(viewport={"width": 390, "height": 844}, is_mobile=True, color_scheme=scheme)
    ui.open(path)
    assert ui.overflow_px() <= 0
    if path == "/":
        ui.ask("띄어쓰기없는아주긴질문" * 30)
        ui.wait_finished()
        expect(ui.element("compare-vote")).to_be_visible()
        assert ui.overflow_px() <= 0
        expect(ui.element("compare-send")).to_be_in_viewport()
    assert ui.page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")


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
