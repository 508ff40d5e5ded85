"""What a turn of the loop learns, by which method, and what its result must pass."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from finetune.data.from_feedback import SOURCE, Training, write_training
from finetune.data.load import rows_of_file
from finetune.improve.gates import EXIT_CODES, Gate, Tolerances, chance_of, first_refusal, gates
from finetune.improve.measure import Measured
from finetune.improve.method import Choice, Counts, choose, recipe_values
from finetune.improve.rows import LABELLED, PAIRS, Replay, TurnRows
from finetune.recipes.recipe import validate_recipe
from finetune.rows.row import Pair, Row
from tests.support.tuned_card import CARD

PLENTY = {"pairs": 200, "good": 200, "bad": 200, "corrections": 100, "held_out": 20}


@pytest.mark.parametrize(
    ("there", "method"),
    [({}, "lora"), ({"corrections": 29}, "dpo"), ({"corrections": 0, "pairs": 49}, "kto")],
)
def test_the_method_follows_from_what_there_is(there: dict[str, int], method: str) -> None:
    chosen = choose(Counts(**PLENTY | there))
    assert isinstance(chosen, Choice)
    assert chosen.method == method


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        (
            {"corrections": 28, "pairs": 40, "good": 45},
            "2 more corrected answers, 10 more pairs, or 5 more good",
        ),
        ({"held_out": 3}, "5 more held-out questions"),
    ],
)
def test_what_is_missing_is_told_as_a_number(there: dict[str, int], missing: str) -> None:
    assert missing in str(choose(Counts(**PLENTY | there)))


@pytest.mark.parametrize(
    ("method", "rate", "epochs"), [("lora", 4e-4, 7), ("dpo", 1e-5, 3), ("kto", 1e-5, 3)]
)
def test_the_recipe_is_that_of_the_checkpoint_adjusted(method: str, rate: float, epochs: int) -> None:
    chosen = Choice(method, "because")  # type: ignore[arg-type]
    values = recipe_values(CARD, "/models/my-dolly", "improve-1", chosen, "data.jsonl", Counts(**PLENTY))
    recipe = validate_recipe(values)
    assert (recipe.method, recipe.base, recipe.epochs) == (method, "/models/my-dolly", epochs)  # type: ignore[union-attr]
    assert (recipe.max_length, recipe.lora.rank) == (300, 8)
    assert recipe.learning_rate == pytest.approx(rate)
    assert [str(source.path) for source in recipe.data] == ["data.jsonl"]
    assert recipe.validation is None


def a_measure(margins: Sequence[float] = (), **more: object) -> Measured:
    """Of a checkpoint that leans to the better answers by these nats."""
    values = {
        "better": list(margins),
        "worse": [0.0] * len(margins),
        "answers": ["가" * 20] * 10,
        "finished": [True] * 10,
        "old_rows": [0.9] * 10,
    }
    return Measured.model_validate(values | more)


def found(before: Measured, after: Measured, questions: Sequence[str] | None = None) -> dict[str, Gate]:
    asked = questions or [str(n) for n in range(len(before.better))]
    return {gate.name: gate for gate in gates(before, after, asked, Tolerances())}


def test_a_checkpoint_that_leans_to_what_people_prefer_passes() -> None:
    passed = found(a_measure([0.0] * 10), a_measure([1.0] * 8 + [-5.0] + [1.0]))
    assert {name: gate.passed for name, gate in passed.items()} == {
        "preference": True,
        "old_rows": True,
        "tasks": None,
        "length": True,
        "stop": True,
        "ethics": None,
    }
    assert first_refusal(list(passed.values())) is None


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("preference", {}, {"better": [1.0, -1.0] * 5}),
        ("old_rows", {}, {"old_rows": [0.84] * 10}),
        ("tasks", {"tasks": {"boolq": 0.6, "copa": 0.6}}, {"tasks": {"boolq": 0.7, "copa": 0.57}}),
        ("length", {}, {"answers": ["가" * 31] * 10}),
        ("stop", {}, {"finished": [True] * 9 + [False]}),
        ("ethics", {"unethical": 0.0}, {"unethical": 0.01}),
    ],
)
def test_each_gate_refuses_what_it_is_for(
    name: str, before: dict[str, object], after: dict[str, object]
) -> None:
    judged = found(a_measure([0.0] * 10, **before), a_measure([1.0] * 10, **before | after))
    refused = [gate.name for gate in judged.values() if gate.passed is False]
    assert refused == [name]
    assert name in EXIT_CODES
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES)


def test_many_pairs_on_one_question_are_one_proof() -> None:
    before, after = a_measure([0.0] * 12), a_measure([1.0] * 12)
    assert found(before, after)["preference"].passed
    assert not found(before, after, ["one"] * 10 + ["two", "three"])["preference"].passed


def test_a_model_that_learnt_nothing_rarely_passes() -> None:
    assert chance_of(0, 0) == 1
    passed, rng = 0, random.Random(1)
    for _ in range(400):
        after = a_measure([rng.choice((1.0, -1.0)) for _ in range(20)])
        passed += bool(found(a_measure([0.0] * 20), after)["preference"].passed)
    assert passed <= 400 * 0.05


def test_a_few_new_rows_are_mixed_with_many_earlier_ones() -> None:
    assert [Replay(share=1.0).count(new) for new in (58, 500, 900)] == [500, 500, 900]
    assert [Replay(share=2.0).count(new) for new in (58, 500)] == [500, 1000]
    assert Replay(share=0.0).count(900) == 0


def test_what_people_taught_comes_first_and_their_last_word_on_a_question_alone(tmp_path: Path) -> None:
    def row(question: str, response: str, feedback: str = "") -> Row:
        meta = {"source": SOURCE, "id": feedback} if feedback else {}
        return Row(instruction=question, response=response, category="open_qa", meta=meta)

    given = [row(f"{n}?", "옛 답") for n in range(2000)]
    first = [row("0?", "첫 답", "a"), row("1?", "첫 답", "b"), row("2?", "첫 답", "c")]
    second = [row("1?", "둘째 답", "d"), row("3?", "둘째 답", "e"), given[9]]
    files = [tmp_path / name for name in ("given", "first", "second")]
    for path, rows in zip(files, (given, first, second), strict=True):
        write_training(rows, path)
    replay = Replay((files[0],), 1.0, of_turns=tuple(files[1:]), still_there=frozenset("abcde"))
    bad = given[6].model_copy(update={"meta": {"label": False}})
    better = Pair(instruction="8?", chosen="새 답", rejected="옛 답")
    other = Pair(instruction="10?", chosen="새 답", rejected="또 다른 답")
    made = Training(rows=[row("2?", "새 답"), row("4?", "새 답")], labelled=[bad], pairs=[better, other])
    known = replay.rows([], made.last_words())
    assert {(one.instruction, one.response) for one in known[:3]} == {
        ("0?", "첫 답"),
        ("1?", "둘째 답"),
        ("3?", "둘째 답"),
    }
    assert {one.response for one in known[3:]} == {"옛 답"}
    assert sorted(int(one.instruction[:-1]) for one in known) == [
        n for n in range(2000) if n not in (2, 4, 6, 8)
    ]


def test_earlier_rows_are_learnt_by_every_method(tmp_path: Path) -> None:
    texts = ("하나", "둘", "둘")
    rows = [Row(instruction=f"{n}?", response=text, category="open_qa") for n, text in enumerate(texts)]
    tool = {"type": "function", "function": {"name": "now"}}
    called = Row(instruction="9?", response="셋", category="open_qa", tools=(tool,))
    pair = Pair(instruction="새?", chosen="예", rejected="아니오")
    made = Training(pairs=[pair], labelled=[rows[0].model_copy(update={"meta": {"label": False}})])
    turn = TurnRows(made, [], [*rows, called])
    turn.write(tmp_path)
    pairs = [one for one, _ in rows_of_file(tmp_path / PAIRS, Pair)]
    assert [(one.instruction, one.chosen, one.rejected) for one in pairs] == [
        ("새?", "예", "아니오"),
        ("0?", "하나", "둘"),
        ("2?", "둘", "하나"),
    ]
    labelled = [one for one, _ in rows_of_file(tmp_path / LABELLED, Row)]
    assert [one.meta["label"] for one in labelled] == [False, True, True, True, True]
    assert (turn.counts().pairs, turn.counts().good, turn.counts().bad) == (1, 0, 1)
    TurnRows(made, []).write(tmp_path)
    assert len(list(rows_of_file(tmp_path / PAIRS, Pair))) == 1
