"""Answers of weight 0 are what the model reads and never what it learns, from the file to the loss."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.data.clean.rules import rules
from finetune.data.clean.run import clean
from finetune.data.load import load_rows
from finetune.encoding.text_ids import decoded
from finetune.rows.fast_row import UnusableLine, parse_row, write_row
from finetune.rows.row import Row, RowTurn
from tests.support.clean_rows import row, write
from tests.support.convert_samples import converted, write_lines

ASK, TELL = "귤은 언제 따나요?", "십일월에 땁니다."


def asked(number: int) -> dict[str, str]:
    return {"role": "user", "content": f"{number}번 나무의 귤은 언제 따나요?"}


def told(number: int, **marks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": f"{number}번 나무는 십일월에 땁니다.", **marks}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from([0, 1]), min_size=1, max_size=4), st.sampled_from(["weight", "train", "loss"])
)
def test_conversion_keeps_what_each_answer_weighs(
    tmp_path_factory: pytest.TempPathFactory, weights: list[int], name: str
) -> None:
    """The row ends with the last answer that is learnt; one without any is refused, with that reason."""
    turns = [turn for n, weight in enumerate(weights) for turn in (asked(n), told(n, **{name: weight}))]
    good = {"messages": [asked(9), told(9)]}
    folder = tmp_path_factory.mktemp("weights")
    rows, refusals, _ = converted(write_lines(folder / "in.jsonl", good, {"messages": turns}))
    if not any(weights):
        assert [(one["line"], one["reason"]) for one in refusals] == [
            (2, "no answer is to be learnt: all have weight 0")
        ]
        return
    last = max(n for n, weight in enumerate(weights) if weight)
    made = rows[1]
    assert made["response"] == told(last)["content"]
    answers = [turn for turn in made.get("history", []) if turn["role"] == "assistant"]
    assert [turn.get("weight", 1) for turn in answers] == weights[:last]
    path = write(folder / "rows.jsonl", made)
    (read,) = load_rows(path)
    assert [turn.weight for turn in read.history if turn.role == "assistant"] == weights[:last]
    clean([path], folder / "clean.jsonl", rules(), processes=1)
    assert load_rows(folder / "clean.jsonl") == [read]
    assert parse_row(write_row(parse_row(path.read_bytes()))) == parse_row(path.read_bytes())


def test_what_is_left_out_at_the_end_is_counted(tmp_path: Path) -> None:
    record = {"messages": [asked(1), told(1), asked(2), told(2, weight=0)]}
    (made,), _, done = converted(write_lines(tmp_path / "in.jsonl", record))
    assert made["response"] == told(1)["content"]
    assert done.files[0].counts.left_out == {"last answer, of weight 0": 1}


def test_strict_rows_are_of_learnt_answers_alone(tmp_path: Path) -> None:
    record = {"messages": [asked(1), told(1, weight=0), asked(2), told(2)]}
    rows, _, _ = converted(write_lines(tmp_path / "in.jsonl", record), strict=True)
    assert [made["response"] for made in rows] == [told(2)["content"]]
    assert told(1)["content"] in rows[0]["context"]


@pytest.mark.parametrize("weight", [2, -1, 0.5, "0", None, True])
def test_a_weight_that_is_none_is_no_row(weight: object) -> None:
    history = [asked(1), told(1, weight=weight)]
    with pytest.raises(UnusableLine):
        parse_row(json.dumps(row(history=history)).encode())
    with pytest.raises(ValueError, match="weight"):
        Row.model_validate(row(history=history), strict=True)


def test_a_bad_answer_that_is_not_learnt_rejects_no_row(tmp_path: Path) -> None:
    refusal = {
        "role": "assistant",
        "content": "죄송하지만 저는 OpenAI가 만든 언어 모델이라 답변드릴 수 없습니다.",
    }
    for weight, kept in ((0, 1), (1, 0)):
        history = [asked(1), refusal | {"weight": weight}]
        path = write(tmp_path / f"rows{weight}.jsonl", row(history=history))
        assert clean([path], tmp_path / f"clean{weight}.jsonl", rules(), processes=1).kept == kept


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text('가나다귤 \n1a"#', min_size=1, max_size=12).filter(str.strip), st.sampled_from([0, 1])
        ),
        max_size=4,
    ),
    st.sampled_from(["dolly", "chatml", "vicuna", "koalpaca", "llama2", "mistral"]),
)
def test_the_loss_covers_the_answers_of_weight_1_and_no_other(
    turns: list[tuple[str, int]], name: str
) -> None:
    """Against the same conversation with all weights 1: the ids are the same, and so are the labels of every
    answer that is learnt."""
    from common.chat_template import load_template
    from finetune.encoding.encode import IGNORED, encode_row
    from tests.support.tiny_families import byte_level_tokenizer

    tokenizer = byte_level_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = load_template(name)
    if name == "chatml":
        tokenizer.eos_token = "<|im_end|>"

    def encoded(weights: list[int]) -> Any:
        history = [
            turn
            for n, ((text, _), weight) in enumerate(zip(turns, weights, strict=True))
            for turn in (
                RowTurn(role="user", content=f"질문 {n}"),
                RowTurn(role="assistant", content=text, weight=1 if weight else 0),
            )
        ]
        return encode_row(
            tokenizer, Row(instruction=ASK, response=TELL, category="open_qa", history=tuple(history))
        )

    def learnt(labels: list[int]) -> list[str]:
        runs, run = [], []
        for label in [*labels, IGNORED]:
            if label != IGNORED:
                run.append(label)
            elif run:
                runs.append(decoded(tokenizer, run))
                run = []
        return runs

    weights = [weight for _, weight in turns]
    whole, part = encoded([1] * len(turns)), encoded(weights)
    assert part.input_ids == whole.input_ids
    answers = learnt(whole.labels)
    assert len(answers) == len(turns) + 1
    assert learnt(part.labels) == [a for a, weight in zip(answers, [*weights, 1], strict=True) if weight]
