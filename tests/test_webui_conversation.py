"""Conversations as data: what models are sent, what is stored, what files hold, what is drawn."""

import csv
import io
import json
import re
import string

import pytest

from common.feedback import Sampling
from common.status import FeedbackText, Status, StatusModel, StatusProvider
from webui.choices import default_pair, default_sampling, model_ids
from webui.comparison_votes import comparison_key
from webui.conversation import ComparisonChoice, Mark, Setup, Side, dump, load_marks, load_side
from webui.failures import Failure, advice, failure_kind, headline, text_keys
from webui.gateway_client import GatewayClient
from webui.metrics import Metrics
from webui.pages.export import ConversationExport, as_csv, as_json, as_markdown
from webui.render import banner, chip, count, failure_card, key_hint, metrics_line, model_cards, note, thought
from webui.snippets import SNIPPETS
from webui.status_cache import StatusCache
from webui.texts import MESSAGES, STATIC, Lang, language

SAMPLING = Sampling(temperature=0.2, top_p=1.0, max_tokens=64)


def side(model: str, *answers: str, system: str = "") -> Side:
    """A conversation whose questions are numbered."""
    made = Side()
    for number, words in enumerate(answers, 1):
        made = made.ask(f"질문 {number}", Setup(model=model, system=system, sampling=SAMPLING))
        made = made.with_last(answer=words, state="done", finish_reason="stop", request_id="req-1")
    return made


def roles(made: Side) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in made.messages()]


def test_a_model_is_sent_system_history_and_question() -> None:
    made = side("m", "답 1", "답 2", system="존댓말로")
    assert roles(made) == [
        ("system", "존댓말로"),
        ("user", "질문 1"),
        ("assistant", "답 1"),
        ("user", "질문 2"),
    ]


def test_failed_answers_are_no_history_and_stopped_ones_are() -> None:
    made = side("m", "답 1").with_last(state="failed", failure=Failure(kind="timeout"))
    made = made.ask("다음", made.turns[0].setup)
    assert roles(made) == [("user", "다음")]
    made = side("m", "반").with_last(state="stopped").ask("다음", made.turns[0].setup)
    assert [role for role, _ in roles(made)] == ["user", "assistant", "user"]


def test_asking_again_is_a_new_answer_with_a_new_id() -> None:
    made = side("m", "답")
    again = made.ask_again(Setup(model="other", sampling=SAMPLING))
    assert again.turns[-1].question == "질문 1"
    assert again.turns[-1].setup.model == "other"
    assert again.turns[-1].id != made.turns[-1].id
    assert again.running


def test_a_conversation_survives_the_browser() -> None:
    made = side("m", "답 1", "답 2")
    assert load_side(json.loads(json.dumps(dump(made)))) == made


@pytest.mark.parametrize("broken", [None, [], "x", {"turns": 3}, {"turns": [{"question": 1}]}])
def test_broken_browser_data_is_an_empty_conversation(broken: object) -> None:
    assert load_side(broken) == Side()
    assert load_marks({"turn": broken} if broken else None) == {}


def test_one_pair_of_answers_has_one_vote_id() -> None:
    left, right = side("a", "가").last, side("b", "나").last
    assert comparison_key([left, right]) == comparison_key([left, right])
    assert comparison_key([left, right]) != comparison_key([right, left])


# Files


def comparison(*, hidden: bool = False) -> ConversationExport:
    left, right = side("왼모델", "왼 답", system="짧게"), side("오른모델", "오른 답")
    return ConversationExport(
        sides={"left": left, "right": right},
        marks={left.turns[0].id: Mark(score=4, tags=("tone",))},
        votes={comparison_key([left.turns[0], right.turns[0]]): "right"},
        names_hidden=hidden,
    )


def test_a_json_file_holds_both_sides() -> None:
    (turn,) = json.loads(as_json(comparison()))["turns"]
    assert turn["question"] == "질문 1"
    assert turn["vote"] == "right"
    assert (turn["left"]["model"], turn["left"]["answer"], turn["left"]["score"]) == ("왼모델", "왼 답", 4)
    assert turn["left"]["tags"] == ["tone"]
    assert turn["left"]["messages"][0] == {"role": "system", "content": "짧게"}
    assert (turn["right"]["model"], turn["right"]["score"]) == ("오른모델", None)


def test_a_markdown_file_reads_well() -> None:
    words = as_markdown(comparison(), "ko")
    for part in (
        "## 1. 질문",
        "> 질문 1",
        "### 왼쪽: 왼모델",
        "오른 답",
        "점수: 4/5 (말투)",
        "**투표**: 오른쪽이 나음",
    ):
        assert part in words


def test_files_of_three_sides_name_them_by_number() -> None:
    sides = {pane: side(f"모델-{pane}", "답") for pane in ("left", "right", "third")}
    key = comparison_key([each.turns[0] for each in sides.values()])
    export = ConversationExport(sides, {}, {key: "third"}, names_hidden=False)
    words = as_markdown(export, "ko")
    assert ("### 2번: 모델-right" in words, "**투표**: 3번이 가장 나음" in words) == (True, True)
    (turn,) = json.loads(as_json(export))["turns"]
    assert (turn["vote"], turn["third"]["model"]) == ("third", "모델-third")
    bad = ConversationExport(sides, {}, {key: "both_bad"}, names_hidden=False)
    assert "**Vote**: all bad" in as_markdown(bad, "en")


def test_a_csv_file_has_a_line_for_each_answer_and_no_formulas() -> None:
    left, right = side("왼모델", "=1+1\n둘째 줄"), side("오른모델", "오른 답")
    mark = Mark(score=4, tags=("tone", "verbose"), thumb="down", comment="길다", correction="둘")
    marks = {left.turns[0].id: mark}
    votes: dict[str, ComparisonChoice] = {comparison_key([left.turns[0], right.turns[0]]): "left"}
    made = as_csv(ConversationExport({"left": left, "right": right}, marks, votes, names_hidden=False))
    rows = list(csv.DictReader(io.StringIO(made.removeprefix("\ufeff"))))
    assert [(row["side"], row["model"], row["vote"]) for row in rows] == [
        ("left", "왼모델", "left"),
        ("right", "오른모델", "left"),
    ]
    assert (rows[0]["answer"], rows[0]["score"], rows[0]["tags"]) == ("'=1+1\n둘째 줄", "4", "tone, verbose")
    assert [rows[0][name] for name in ("thumb", "comment", "correction")] == ["down", "길다", "둘"]
    assert (rows[0]["question"], rows[1]["score"], rows[1]["correction"]) == ("질문 1", "", "")


def test_a_chat_makes_files_too() -> None:
    chat = ConversationExport({"chat": side("모델", "답")}, {}, {}, names_hidden=False)
    document = json.loads(as_json(chat))
    assert document["format"] == "kodolly-chat"
    assert document["turns"][0]["chat"]["answer"] == "답"
    assert "vote" not in document["turns"][0]
    assert "### 답변: 모델" in as_markdown(chat, "ko")


def test_hidden_names_are_in_no_file() -> None:
    hidden = comparison(hidden=True)
    for words in (as_json(hidden), as_markdown(hidden, "ko"), as_markdown(hidden, "en"), as_csv(hidden)):
        assert "모델" not in words.replace("모델 비교", "")
        assert "req-1" not in words
        assert "오른 답" in words


def test_no_figure_tells_hidden_models_apart() -> None:
    quick = side("빠름", "답").with_last(metrics=Metrics(ttft_ms=1234.5, tokens=777, tokens_per_s=88.8))
    sides = {"left": quick, "right": side("느림", "답")}
    shown, hidden = (ConversationExport(sides, {}, {}, names_hidden=names) for names in (False, True))
    for words, secret in (
        (as_json(shown), as_json(hidden)),
        (as_markdown(shown, "ko"), as_markdown(hidden, "ko")),
    ):
        assert {"777", "88.8"} <= set(re.findall(r"[\d.]+", words))
        assert not {"1234.5", "777", "88.8"} & set(re.findall(r"[\d.]+", secret))


def test_sides_of_different_length_make_a_file() -> None:
    uneven = ConversationExport(
        {"left": side("a", "1", "2"), "right": side("b", "1")}, {}, {}, names_hidden=False
    )
    assert json.loads(as_json(uneven))["turns"][1]["right"] is None
    assert "## 2." in as_markdown(uneven, "en")


# What is offered


def model(name: str, kind: str = "worker", **more: object) -> StatusModel:
    return StatusModel.model_validate({"id": name, "kind": kind, "state": "ready", **more})


def provider(*, configured: bool) -> StatusProvider:
    return StatusProvider(name="openai", configured=configured, key_env="OPENAI_API_KEY", models=["gpt"])


BASE, TUNED, GPT = model("base"), model("tuned", base="base"), model("gpt", "external")


@pytest.mark.parametrize(
    ("models", "configured", "pair"),
    [
        ([BASE, TUNED], False, ("base", "tuned")),
        ([GPT, BASE, TUNED], True, ("gpt", "tuned")),
        ([GPT, BASE], True, ("gpt", "base")),
        ([GPT], True, ("gpt", "gpt")),
        ([TUNED], False, ("tuned", "tuned")),
        ([BASE, model("other")], False, ("other", "base")),
        ([model("late", base="base", state="loading"), BASE, TUNED], False, ("base", "tuned")),
        ([model("tuned", base="elsewhere/model"), BASE], False, ("base", "tuned")),
        ([], False, (None, None)),
    ],
)
def test_the_pair_at_the_start(
    models: list[StatusModel], configured: bool, pair: tuple[str | None, str | None]
) -> None:
    assert default_pair(models, [provider(configured=configured)]) == pair


def test_an_answer_may_fill_half_of_a_small_context() -> None:
    assert default_sampling(model("m", context_length=512)).max_tokens == 256
    assert default_sampling(model("m", context_length=32768)).max_tokens == 512
    assert default_sampling(None).max_tokens == 512
    assert default_sampling(GPT).temperature == 1.0


def test_a_chosen_model_stays_in_the_list_when_it_has_gone() -> None:
    assert model_ids([BASE, TUNED], "gone", None) == ["base", "tuned", "gone"]


# What is drawn


def test_a_failure_card_is_escaped_and_silent_about_hidden_names() -> None:
    failure = Failure(kind="upstream_failed", message="<b>my-model</b> died", request_id="req-<1>")
    shown = failure_card(failure, "ko", names_hidden=False)
    assert "&lt;b&gt;my-model" in shown
    assert "req-&lt;1&gt;" in shown
    assert "my-model" not in failure_card(failure, "ko", names_hidden=True)


def test_an_answer_cut_by_the_length_limit_says_so() -> None:
    turn = side("m", "답").with_last(finish_reason="length").last
    assert "길이 제한으로 끊김" in metrics_line(turn, 0, "ko")
    assert "cut by the length limit" in metrics_line(turn, 0, "en")


def test_reasoning_has_a_title_with_its_time_unless_names_are_hidden() -> None:
    turn = side("m", "답").with_last(reasoning="생각", metrics=Metrics(reasoning_ms=3200.0)).turns[-1]
    assert thought(turn, "ko", hidden=False) == "생각한 과정 · 3.20 s"
    assert thought(turn, "ko", hidden=True) == "생각한 과정"


def test_an_answer_that_is_reasoning_alone_says_what_to_do() -> None:
    made = side("m", "").with_last(reasoning="생각", finish_reason="length")
    assert "최대 답변 토큰" in note(made.turns[-1], "ko")


def test_the_first_figure_says_whether_it_is_of_reasoning() -> None:
    figures = Metrics(ttft_ms=100.0, reasoned_first=True)
    assert "첫 생각 100 ms" in metrics_line(side("m", "답").with_last(metrics=figures).last, 0, "ko")


def test_an_empty_answer_is_visible() -> None:
    assert note(side("m", "").turns[-1], "ko") == "(빈 답변)"
    assert note(side("m", "답").turns[-1], "ko") == ""


def test_the_key_hint_names_the_variable_only_when_it_is_missing() -> None:
    assert "OPENAI_API_KEY" in key_hint([provider(configured=False)], "ko")
    assert key_hint([provider(configured=True)], "ko") == ""


def test_counts_are_short() -> None:
    assert [count(n) for n in (900, 4_200_000, 350_000_000, 12_800_000_000)] == [
        "900",
        "4.2M",
        "350M",
        "12.8B",
    ]


def test_snippets_are_code_with_the_model_in_it() -> None:
    for kind in ("python", "langchain", "litellm"):
        code = SNIPPETS[kind].write("http://127.0.0.1:8000/", 'a"b')
        compile(code, "snippet", "exec")
        assert 'a\\"b' in code
        assert '"http://127.0.0.1:8000/v1"' in code
    assert "http://127.0.0.1:8000/v1" in SNIPPETS["open_webui"].write("http://127.0.0.1:8000/", "한국어")
    words = SNIPPETS["curl"].write("http://127.0.0.1:8000/", "한국어")
    assert "http://127.0.0.1:8000/v1/chat/completions" in words
    assert json.loads(words.split("-d '")[1].rstrip("'"))["model"] == "한국어"


@pytest.mark.parametrize("code", ["insufficient_quota", "upstream_failed", "upstream_broke_off"])
@pytest.mark.parametrize("lang", ["ko", "en"])
def test_what_is_said_of_a_provider_is_true_for_it(code: str, lang: Lang) -> None:
    failure = Failure(kind=failure_kind(code, 429), external=True, retry_after_s=None)
    words = headline(failure, lang) + advice(failure, lang)
    assert not re.search("워커|[Ww]orker|게이트웨이", words)
    ours = Failure(kind=failure.kind)
    assert headline(failure, lang) != headline(ours, lang)


def test_no_waiting_is_advised_where_money_is_missing() -> None:
    spent = Failure(kind=failure_kind("insufficient_quota", 429), external=True, retry_after_s=2.0)
    assert "2초" not in advice(spent, "ko")
    busy = Failure(kind=failure_kind("rate_limit_exceeded", 429), retry_after_s=2.0)
    assert "2초" in advice(busy, "ko")


def test_a_refused_key_is_no_green_dot_until_an_answer_comes() -> None:
    cache = StatusCache(GatewayClient("http://127.0.0.1:9"))
    cache._status = Status(version="0", uptime_s=1, models=[GPT], providers=[], controller_connected=True)
    cache.note_answer("gpt", "provider_key")
    assert "kd-state-down" in chip(cache, "gpt", "ko")
    assert "외부 서비스" not in model_cards(cache, "ko")
    cache.note_answer("gpt", "timeout")
    assert "API 키를 거절함" in chip(cache, "gpt", "ko")
    cache.note_answer("gpt", None)
    assert "외부 서비스" in chip(cache, "gpt", "ko")


def test_a_page_asks_on_only_while_something_is_about_to_change() -> None:
    cache = StatusCache(GatewayClient("http://127.0.0.1:9"))
    assert not cache.settled()
    cache._status = Status(
        version="0",
        uptime_s=1,
        models=[BASE, model("late", state="loading"), model("busy", running=1)],
        providers=[],
        controller_connected=True,
    )
    assert cache.settled("base", None, "unknown")
    assert not cache.settled("base", "late")
    assert not cache.settled("busy")
    cache.trouble = "gateway_down"
    assert not cache.settled("base")


@pytest.mark.parametrize("kept", [None, "none", "rated", "all"])
def test_the_page_says_when_every_conversation_is_kept(kept: FeedbackText | None) -> None:
    cache = StatusCache(GatewayClient("http://127.0.0.1:9"))
    cache._status = Status(
        version="0",
        uptime_s=1,
        models=[BASE],
        providers=[],
        controller_connected=True,
        feedback_store=kept,
    )
    assert ("질문과 답변을 보관합니다" in banner(cache, "ko")) == (kept == "all")


# Language


@pytest.mark.parametrize(
    ("header", "lang"),
    [
        (None, "ko"),
        ("ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        ("en-US,en;q=0.9,ko;q=0.8", "en"),
        ("fr-FR,ko;q=0.5,en;q=0.4", "ko"),
        ("fr-FR", "en"),
        ("en;q=0.1,ko;q=0.9", "ko"),
        ("ko;q=x", "ko"),
    ],
)
def test_the_language_is_the_first_wish_that_we_speak(header: str | None, lang: str) -> None:
    assert language(header) == lang


def test_every_text_has_the_same_gaps_in_both_languages() -> None:
    for key, (korean, english) in {**STATIC, **MESSAGES}.items():
        gaps = [
            {name for _, name, _, _ in string.Formatter().parse(words) if name} for words in (korean, english)
        ]
        assert gaps[0] == gaps[1], key


def test_every_failure_has_its_words() -> None:
    assert [key for key in text_keys() if key not in MESSAGES] == []
