"""Preference data of every shape becomes pairs, and nothing else does."""

from pathlib import Path
from typing import Any

import pytest

from common.errors import UserError
from finetune.data.convert.run import ConvertRequest, convert
from finetune.rows.row import Pair
from tests.support.convert_samples import (
    ALPACA,
    PAIR,
    converted,
    rows_of,
    write_lines,
)


@pytest.mark.parametrize(
    "record",
    [
        PAIR,
        {
            "system": "짧게 답한다.",
            "question": PAIR["prompt"],
            "chosen": PAIR["chosen"],
            "rejected": PAIR["rejected"],
        },
        {
            "chosen": [
                {"role": "user", "content": PAIR["prompt"]},
                {"role": "assistant", "content": PAIR["chosen"]},
            ],
            "rejected": [
                {"role": "user", "content": PAIR["prompt"]},
                {"role": "assistant", "content": PAIR["rejected"]},
            ],
        },
        {
            "prompt": [{"role": "user", "content": PAIR["prompt"]}],
            "chosen": [{"role": "assistant", "content": PAIR["chosen"]}],
            "rejected": [{"role": "assistant", "content": PAIR["rejected"]}],
        },
        {
            "conversations": [{"from": "human", "value": PAIR["prompt"]}],
            "chosen": {"from": "gpt", "value": PAIR["chosen"]},
            "rejected": {"from": "gpt", "value": PAIR["rejected"]},
        },
        {
            "chosen": f"\n\nHuman: {PAIR['prompt']}\n\nAssistant: {PAIR['chosen']}",
            "rejected": f"\n\nHuman: {PAIR['prompt']}\n\nAssistant: {PAIR['rejected']}",
        },
    ],
    ids=["texts", "system", "messages", "prompt messages", "turns", "hh"],
)
def test_preference_data_of_every_shape_gives_the_same_pair(record: dict[str, Any], tmp_path: Path) -> None:
    (made,) = rows_of(tmp_path, record, pairs=True)
    pair = Pair.model_validate(made)
    assert (pair.instruction, pair.chosen, pair.rejected) == (
        PAIR["prompt"],
        PAIR["chosen"],
        PAIR["rejected"],
    )
    (row,) = rows_of(tmp_path, record)
    assert row["response"] == PAIR["chosen"]


def test_pairs_that_say_the_same_twice_or_part_early_are_refused(tmp_path: Path) -> None:
    same = PAIR | {"rejected": PAIR["chosen"] + "\n"}
    other = {
        "chosen": [{"role": "user", "content": "하나?"}, {"role": "assistant", "content": "둘"}],
        "rejected": [{"role": "user", "content": "셋?"}, {"role": "assistant", "content": "넷"}],
    }
    rows, refusals, _ = converted(write_lines(tmp_path / "in.jsonl", PAIR, same, other), pairs=True)
    assert len(rows) == 1
    assert [refusal["reason"] for refusal in refusals] == [
        "chosen and rejected are the same answer",
        "chosen and rejected answer different conversations",
    ]


def test_pairs_are_not_made_of_data_that_has_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no preference pairs"):
        convert(
            ConvertRequest((write_lines(tmp_path / "in.jsonl", ALPACA),), tmp_path / "rows.jsonl", pairs=True)
        )
