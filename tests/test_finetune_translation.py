"""`kodolly data translate`: rows in another language become Korean ones, or are left out with a reason."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from finetune.progress import silent
from finetune.rows.fast_row import JsonRow, JsonTurn, parse_row
from finetune.synthetic.authorship import Authorship
from finetune.synthetic.deepl import DeepL
from finetune.synthetic.protected_text import protected
from finetune.synthetic.teacher import Teacher
from finetune.synthetic.translation import Translated, translate, why_not
from kodolly.cli import root
from tests.support.scripted_teacher import NAME, served

QUESTION = "How do I install 3 packages?"
ANSWER = "Run `pip install a b c` and see https://example.com/docs for the 3 packages."
Said = dict[str, str]


class Saying:
    """A model that answers with what it is told to."""

    name = "saying"

    def __init__(self, said: Callable[[Said], Said]) -> None:
        self.said = said
        self.asked: list[Said] = []

    def complete(self, messages: Any, *_: Any, **__: Any) -> dict[str, Any]:
        self.asked.append(json.loads(messages[-1]["content"]))
        text = json.dumps(self.said(self.asked[-1]), ensure_ascii=False)
        return {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}


def row(instruction: str = QUESTION, response: str = ANSWER, **others: Any) -> JsonRow:
    return JsonRow(instruction=instruction, response=response, category="open_qa", **others)


GOOD = {
    "instruction": "패키지 3개를 어떻게 설치하나요?",
    "response": "⟦0⟧를 실행하고 패키지 3개에 대해서는 ⟦1⟧를 보시면 됩니다.",
}


def translated(tmp_path: Path, said: Said | Callable[[Said], Said], *rows: JsonRow) -> Translated:
    model = Saying(said if callable(said) else lambda _: said)
    teacher = Teacher(model, tmp_path / "asked.jsonl", silent)
    return translate(rows or (row(),), teacher, Authorship("saying", "mit"))


def test_code_and_addresses_come_back_as_they_were(tmp_path: Path) -> None:
    made = translated(tmp_path, GOOD, row(meta={"licence": "cc-by-sa-3.0", "id": 7}))
    (one,) = made.rows
    assert (
        one.response
        == "`pip install a b c`를 실행하고 패키지 3개에 대해서는 https://example.com/docs를 보시면 됩니다."
    )
    assert one.meta == {
        "id": 7,
        "licence": "cc-by-sa-3.0 + mit",
        "translation_model": "saying",
        "translation_licence": "mit",
    }


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (GOOD | {"response": "⟦0⟧를 실행하면 패키지 3개가 설치됩니다."}, "was lost"),
        (GOOD | {"response": "⟦0⟧와 ⟦0⟧를 실행하고 ⟦1⟧를 보시면 3개가 됩니다."}, "was lost"),
        (GOOD | {"response": "⟦0⟧를 실행하고 패키지 30개는 ⟦1⟧를 보시면 됩니다."}, "a number was lost"),
        (GOOD | {"instruction": QUESTION}, "not translated"),
        (GOOD | {"response": "⟦0⟧를 실행한다. 패키지 3개는 ⟦1⟧에 있습니다. 꼭 보십시오."}, "speech levels"),
        (GOOD | {"response": "Run ⟦0⟧ and look at ⟦1⟧ for all of the 3 packages."}, "not Korean"),
        ({"instruction": GOOD["instruction"]}, "was lost"),
    ],
)
def test_a_translation_that_loses_something_is_dropped(said: Said, reason: str, tmp_path: Path) -> None:
    made = translated(tmp_path, said)
    assert made.rows == []
    assert reason in next(iter(made.dropped))


@pytest.mark.parametrize(
    "asked",
    [
        *("Correct the grammar of this sentence.", "Find a word that rhymes with cat.", "Spell 'necessary'."),
        *(
            "Translate into French.",
            "Write a haiku.",
            "Rewrite in the passive voice.",
            "Sort alphabetically.",
        ),
        *("How many syllables has it?", "다음 문장의 맞춤법을 고쳐 주세요.", "Give me synonyms of happy."),
    ],
)
def test_tasks_about_the_language_are_left_out(asked: str) -> None:
    assert why_not(row(asked))


@pytest.mark.parametrize("asked", ["Why is the sky blue?", "Name three uses of salt.", "Summarize the text."])
def test_other_tasks_are_translated(asked: str) -> None:
    assert not why_not(row(asked))


def test_numbers_may_be_written_the_korean_way(tmp_path: Path) -> None:
    made = translated(
        tmp_path,
        {
            "instruction": "인구는 얼마인가요?",
            "response": "1990년의 인구는 350만 명이었고 세 번째로 컸습니다.",
        },
        row("What was the population?", "In 1990 it was 3.5 million, the 3rd largest."),
    )
    assert len(made.rows) == 1, made.dropped


def test_a_conversation_keeps_its_turns(tmp_path: Path) -> None:
    history = [JsonTurn("user", "Hello there"), JsonTurn("assistant", "Good morning to you", weight=0)]
    said = GOOD | {"history_0": "안녕하세요", "history_1": "좋은 아침입니다."}
    (one,) = translated(tmp_path, said, row(history=history)).rows
    assert [(turn.role, turn.content, turn.weight) for turn in one.history] == [
        ("user", "안녕하세요", 1),
        ("assistant", "좋은 아침입니다.", 0),
    ]


def test_rows_with_tools_are_left_out() -> None:
    assert "tools" in why_not(row(tools=[{"type": "function", "function": {"name": "f"}}]))


@given(st.text(alphabet="ab `$/{}<>⟦⟧0123.\n:@htps", max_size=80))
def test_whatever_is_set_apart_comes_back(text: str) -> None:
    kept = protected(text)
    assert kept.restored(kept.text) == text


def test_deepl_gets_marks_as_tags_and_text_escaped(tmp_path: Path) -> None:
    class Service:
        owned_by = "deepl"

        def __init__(self) -> None:
            self.asked: dict[str, Any] = {}

        def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            self.asked = body
            said = ["3 &lt; 5인가요?", "네, <x>0</x>에 있습니다. 3은 5보다 작습니다."]
            return 200, {"translations": [{"text": text} for text in said]}

    service = Service()
    with served(service) as url, closing(DeepL("key", url)) as deepl:
        teacher = Teacher(deepl, tmp_path / "asked.jsonl", silent)
        asked = row("Is 3 < 5?", "Yes, see `math`. 3 is less than 5.")
        made = translate([asked], teacher, Authorship("deepl", "terms of DeepL"))
    assert service.asked["text"] == ["Is 3 &lt; 5?", "Yes, see <x>0</x>. 3 is less than 5."]
    assert [(one.instruction, one.response) for one in made.rows] == [
        ("3 < 5인가요?", "네, `math`에 있습니다. 3은 5보다 작습니다.")
    ]


def test_deepl_without_its_key_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPL_API_KEY", raising=False)
    (tmp_path / "in.jsonl").write_text(
        json.dumps({"instruction": "a b", "context": "", "response": "c", "category": "open_qa"}) + "\n"
    )
    command = [
        "data",
        "translate",
        str(tmp_path / "in.jsonl"),
        str(tmp_path / "out.jsonl"),
        "--model",
        "deepl",
    ]
    done = CliRunner().invoke(root, command)
    assert isinstance(done.exception, UserError)
    assert "DEEPL_API_KEY" in str(done.exception.hint)


def test_the_command_writes_rows_and_counts_reasons(tmp_path: Path) -> None:
    class Service:
        owned_by = "vllm"

        def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            text = json.dumps(GOOD, ensure_ascii=False)
            return 200, {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}

    lines = [
        {"instruction": asked, "context": "", "response": ANSWER, "category": "open_qa"}
        for asked in (QUESTION, "Check the spelling of this word.")
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    output = tmp_path / "out.jsonl"
    with served(Service()) as url:
        command = [
            "data",
            "translate",
            str(tmp_path / "in.jsonl"),
            str(output),
            "--model",
            NAME,
            "--url",
            url,
        ]
        done = CliRunner().invoke(root, command)
    assert done.exit_code == 0, done.output
    assert "1  dropped: it is about the language itself" in done.output
    (one,) = map(parse_row, output.read_bytes().splitlines())
    assert one.instruction == GOOD["instruction"]
