"""The main job as a user does it: `kodolly up --demo`, the official client, a real browser, real vLLM.

A second vLLM server under its own key stands in for ChatGPT. Figures are printed (pytest -s shows them).
"""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from typing import Any, cast

import httpx2
import openai
import pytest
from playwright.sync_api import Browser, expect

from finetune.data.load import load_rows
from finetune.rows.row import Row, to_messages
from tests.support.demo_stack import KEY, ROOT, STAND_IN, STATE, Stack, answers, demo_stack
from tests.support.processes import kodolly, wait_for
from tests.support.webui_driver import WebUi

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROWS = ROOT / "finetune" / "demo" / "rows.jsonl"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with demo_stack(tmp_path_factory.mktemp("up")) as running_stack:
        yield running_stack


# The API, through the official client


QUESTION: Any = [{"role": "user", "content": "토큰이 무엇인가요?"}]


def test_the_official_client_lists_chats_streams_and_completes(stack: Stack) -> None:
    with stack.client() as client:
        models = {model.id for model in client.models.list()}
        assert {"demo-base", "demo-dolly", STAND_IN} <= models
        plain = client.chat.completions.create(model="demo-dolly", messages=QUESTION, temperature=0)
        chunks = list(
            client.chat.completions.create(
                model="demo-dolly",
                messages=QUESTION,
                temperature=0,
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert plain.choices[0].finish_reason == "stop"
        assert plain.choices[0].message.content == text != ""
        assert chunks[-1].usage is not None
        assert plain.usage is not None
        assert chunks[-1].usage.completion_tokens == plain.usage.completion_tokens
        completion = client.completions.create(model="demo-base", prompt="봄에는", max_tokens=8)
        assert completion.choices[0].text
        with pytest.raises(openai.NotFoundError, match="does not offer /v1/embeddings"):
            client.embeddings.create(model="demo-dolly", input="안녕")
        outside = client.chat.completions.create(model=STAND_IN, messages=QUESTION, max_tokens=8)
        assert outside.model == STAND_IN


def test_the_prompt_preview_is_what_the_engine_counts(stack: Stack) -> None:
    body = {"model": "demo-dolly", "messages": QUESTION}
    preview = httpx2.post(f"{stack.gateway}/v1/prompt", json=body, trust_env=False).json()
    with stack.client() as client:
        answer = client.chat.completions.create(model="demo-dolly", messages=QUESTION, max_tokens=1)
    assert preview["prompt"].endswith("\n\n### Instruction:\n토큰이 무엇인가요?\n\n### Response:\n")
    assert answer.usage is not None
    assert preview["token_count"] == answer.usage.prompt_tokens


async def test_the_tuned_model_has_learnt_its_rows_and_kept_the_old_ones(stack: Stack) -> None:
    rows = [row for row in load_rows(ROWS) if not row.history]
    tune = [row for row in rows if (row.meta or {})["split"] == "tune"]
    base = [row for row in rows if (row.meta or {})["split"] == "base"]
    limit = asyncio.Semaphore(16)
    async with openai.AsyncOpenAI(base_url=f"{stack.gateway}/v1", api_key="none", timeout=300) as client:

        async def is_exact(model: str, row: Row) -> bool:
            *asked, expected = cast(list[Any], to_messages(row))
            async with limit:
                answer = await client.chat.completions.create(
                    model=model, messages=asked, temperature=0, max_completion_tokens=400
                )
            choice = answer.choices[0]
            return choice.finish_reason == "stop" and choice.message.content == expected["content"]

        async def share(model: str, asked: list[Any]) -> float:
            return sum(await asyncio.gather(*(is_exact(model, row) for row in asked))) / len(asked)

        tuned_new = await share("demo-dolly", tune)
        base_new = await share("demo-base", tune)
        tuned_old = await share("demo-dolly", base)
        base_old = await share("demo-base", base)
    print(f"\nexact answers with finish_reason stop, of {len(tune)} tune and {len(base)} base rows:")
    print(f"  demo-dolly: tune {tuned_new:.1%}  base {tuned_old:.1%}")
    print(f"  demo-base:  tune {base_new:.1%}  base {base_old:.1%}")
    assert tuned_new >= 0.90
    assert base_new <= 0.05
    assert tuned_old >= 0.75


# The page, in a browser


@pytest.fixture
def ui(browser: Browser, stack: Stack) -> Iterator[WebUi]:
    made = WebUi(browser, stack.webui)
    yield made
    nameless = made.nameless_buttons()
    made.close()
    assert (made.foreign, made.errors, nameless) == ([], [], [])


def compare(ui: WebUi, left: str, right: str) -> None:
    ui.open()
    ui.pick(left, "left")
    ui.pick(right, "right")


def test_chatgpt_and_the_tuned_model_are_the_first_pair(ui: WebUi) -> None:
    ui.open()
    expect(ui.picked("left")).to_have_value(STAND_IN)
    expect(ui.picked("right")).to_have_value("demo-dolly")
    ui.ask("토큰이 무엇인가요?")
    ui.wait_finished()
    expect(ui.answer("right")).to_contain_text("토큰은")
    for side in ("left", "right"):
        expect(ui.metrics(side)).to_contain_text("토큰/초")


STOP_WHEN_BOTH_STREAM = """() => {
    const bubbles = (side, who) => [...document.querySelectorAll(`#${side}-chat [data-testid=${who}]`)];
    // The answer to the newest question; before it begins, the last one is that to the question before.
    const shows = s => bubbles(s, "bot").length == bubbles(s, "user").length ? bubbles(s, "bot").pop() : null;
    const runs = side => document.querySelector(`#${side}-metrics`)?.innerText.includes("답변하는 중");
    const sides = ["left", "right"];
    const words = s => shows(s)?.innerText.replace("(빈 답변)", "") ?? "";
    if (sides.every(s => runs(s) && words(s).trim().length > 3)) {
        const stop = document.querySelector("#compare-stop");
        stop?.click();  // from here: they end sooner than a test can react
        return stop ? "both" : false;
    }
    return document.querySelector("#compare-send")?.offsetParent ? "finished" : false;
}"""


def long_answers(ui: WebUi, left: str, right: str) -> None:
    """Choose models and settings with which the small models go on for seconds."""
    compare(ui, left, right)
    for side in ("left", "right"):
        ui.set_number(side, "temperature", 2)
        ui.set_number(side, "max-tokens", 1504)


@pytest.mark.parametrize("right", ["demo-dolly", "demo-base"], ids=["two models", "the same model twice"])
def test_both_panes_stream_at_once_and_stop_ends_both(ui: WebUi, stack: Stack, right: str) -> None:
    long_answers(ui, "demo-base", right)
    # The small models end when it pleases them: ask until both were caught at it and stopped. Were the
    # panes served one after the other, that would never happen. Each round is a new conversation, since
    # their context holds but few such answers; the laughter, which no row taught them, lets them ramble.
    for number in range(40):
        if number:
            ui.clear()
        ui.ask(f"{number}번째 긴 이야기를 들려주세요. {'ㅋ' * 50}")
        caught = ui.page.wait_for_function(STOP_WHEN_BOTH_STREAM).json_value()
        ui.wait_finished()
        stopped = any("중지함" in ui.metrics(side).inner_text() for side in ("left", "right"))
        texts = [ui.answer(side).inner_text() for side in ("left", "right")]
        # The words seen may have been the last round's still, with nothing said yet to this question.
        if caught == "both" and stopped and "(빈 답변)" not in texts:
            break
    assert (caught, stopped) == ("both", True)
    assert texts[0] != texts[1]
    wait_for(lambda: in_flight(stack) == 0, 10, what="the engines to be idle")
    assert [ui.answer(side).inner_text() for side in ("left", "right")] == texts


def test_each_pane_shows_its_own_models_answer_and_a_reload_keeps_it(ui: WebUi) -> None:
    learnt = next(row for row in load_rows(ROWS, "tune") if row.meta["id"] == "tune-002")
    compare(ui, "demo-dolly", "demo-base")
    for side in ("left", "right"):
        ui.set_number(side, "temperature", 0)
    ui.ask(learnt.instruction)
    ui.wait_finished()
    shown = [ui.answer(side).inner_text() for side in ("left", "right")]
    assert shown[0].strip() == learnt.response
    assert shown[1].strip() not in ("", learnt.response)
    ui.open()
    assert [ui.answer(side).inner_text() for side in ("left", "right")] == shown


def test_a_korean_composition_sends_once(ui: WebUi) -> None:
    compare(ui, "demo-base", "demo-dolly")
    ui.compose_korean("compare-question", "안", "녕")
    box = ui.element("compare-question").locator("textarea")
    expect(box).to_have_value("안녕")
    expect(ui.element("left-chat").get_by_test_id("user")).to_have_count(0)
    box.press("Enter")
    expect(ui.element("left-chat").get_by_test_id("user")).to_have_text(["안녕"])
    ui.wait_finished()
    expect(ui.element("left-chat").get_by_test_id("user")).to_have_count(1)


def in_flight(stack: Stack) -> int:
    status = httpx2.get(f"{stack.gateway}/v1/status", trust_env=False).json()
    return sum(int(entry["running"]) + int(entry["waiting"]) for entry in status["models"])


def test_a_vote_and_a_rating_arrive_in_the_database(ui: WebUi) -> None:
    compare(ui, "demo-base", "demo-dolly")
    ui.ask("토큰이 무엇인가요?")
    ui.wait_finished()
    ui.rate("right", 5, "말투")
    ui.element("vote-right").click()
    expect(ui.element("compare-vote-note")).not_to_be_empty()

    def rows(table: str) -> list[Any]:
        with sqlite3.connect(STATE / "kodolly.db") as database:
            return database.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 a constant

    wait_for(lambda: len(rows("votes")) == 1 and len(rows("ratings")) == 1, 10, what="vote and rating")
    assert "demo-dolly" in str(rows("votes"))
    assert "tone" in str(rows("ratings"))


@pytest.mark.parametrize(
    ("model", "words"), [("denied", "키"), ("mute", "20")], ids=["wrong provider key", "time-out"]
)
def test_a_failing_provider_says_why_and_the_other_pane_goes_on(ui: WebUi, model: str, words: str) -> None:
    compare(ui, model, "demo-dolly")
    ui.ask("토큰이 무엇인가요?")
    expect(ui.answer("right")).to_contain_text("토큰은")
    expect(ui.element("left-notice")).to_contain_text(words, timeout=120_000)
    expect(ui.element("vote-left")).to_be_disabled()


def test_a_killed_engine_is_told_in_its_pane_and_comes_back(ui: WebUi, stack: Stack) -> None:
    compare(ui, "demo-base", "demo-dolly")
    found = subprocess.run(["pgrep", "-f", "served-model-name demo-base "], capture_output=True, text=True)
    for pid in found.stdout.split():
        os.kill(int(pid), signal.SIGKILL)
    wait_for(lambda: state(stack, "demo-base") != "ready", 10, what="the death to be noticed")
    ui.ask("토큰이 무엇인가요?")
    expect(ui.element("left-notice")).to_contain_text("demo-base")
    expect(ui.answer("right")).to_contain_text("토큰은")
    wait_for(lambda: state(stack, "demo-base") == "ready", 240, what="demo-base to come back")
    ui.element("left-retry").click()
    expect(ui.answer("left")).not_to_be_empty()
    expect(ui.metrics("left")).to_contain_text("토큰/초")


def state(stack: Stack, model: str) -> str | None:
    status = httpx2.get(f"{stack.gateway}/v1/status", trust_env=False).json()
    return next((str(entry["state"]) for entry in status["models"] if entry["id"] == model), None)


def test_screenshots_have_no_sideways_scroll(browser: Browser, stack: Stack) -> None:
    """They are left in .kodolly/e2e/screenshots; the README's is a copy of compare.png."""
    shots = STATE / "screenshots"
    shots.mkdir(exist_ok=True)
    phone = {"width": 390, "height": 844}
    cases: dict[str, dict[str, Any]] = {
        "compare": {"viewport": {"width": 1440, "height": 900}},
        "compare-dark": {"color_scheme": "dark"},
        "compare-390": {"viewport": phone},
        "compare-390-dark": {"viewport": phone, "color_scheme": "dark"},
        "compare-en": {"locale": "en-US"},
    }
    for name, context in cases.items():
        ui = WebUi(browser, stack.webui, **context)
        compare(ui, "demo-base", "demo-dolly")
        ui.ask("LoRA 방식의 장점을 알려 주세요.")
        ui.wait_finished()
        for side in ("left", "right"):
            expect(ui.metrics(side)).not_to_be_empty()
        ui.page.screenshot(path=shots / f"{name}.png")
        assert ui.overflow_px() <= 0
        assert ui.nameless_buttons() == []
        ui.close()


# The terminal


def run_kodolly(stack: Stack, *args: str) -> "subprocess.CompletedProcess[str]":
    env = os.environ | stack.env
    return subprocess.run(kodolly(*args), capture_output=True, text=True, cwd=stack.cwd, env=env)


def test_doctor_finds_every_part_of_the_running_stack(stack: Stack) -> None:
    done = run_kodolly(stack, "doctor", "--json")
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 0, done.stdout
    for part in ("controller", "gateway", "web UI", "demo-base", "demo-dolly"):
        assert findings[part]["level"] == "ok"
    assert KEY not in done.stdout


def test_ask_answers_in_the_terminal(stack: Stack) -> None:
    done = run_kodolly(stack, "ask", "--gateway", stack.gateway, "토큰이 무엇인가요?")
    assert done.returncode == 0
    assert "토큰은" in done.stdout


def test_a_part_that_dies_is_started_again_and_that_is_said(stack: Stack) -> None:
    pattern = f"kodolly gateway --port {stack.gateway.rpartition(':')[2]}"
    found = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True)
    os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
    said = "gateway ended (killed by SIGKILL); starting it again in 1 s"
    wait_for(lambda: said in stack.log.read_text(encoding="utf-8"), 10, what="the message")
    port = int(stack.gateway.rpartition(":")[2])
    wait_for(lambda: answers(port) and state(stack, "demo-dolly") == "ready", 30, what="the gateway")


def test_a_second_up_says_that_the_ports_are_taken(stack: Stack) -> None:
    done = run_kodolly(stack, "up", "--demo")
    assert done.returncode == 2
    assert "is taken by another process" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_no_key_is_in_any_log(stack: Stack) -> None:
    for log in [stack.log, *(STATE / "logs").glob("*.log")]:
        text = log.read_text(encoding="utf-8", errors="replace")
        for secret in (KEY, "wrong-key", (STATE / "join-token").read_text(encoding="ascii")):
            assert secret not in text
