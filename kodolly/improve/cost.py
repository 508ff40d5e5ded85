"""How long the training of a turn will take, by the last one of the same method on this machine."""

from collections.abc import Iterable

from pydantic import ValidationError

from finetune.improve.method import recipe_values
from finetune.models.adapter import ADAPTER_FILE, AdapterCard
from finetune.progress import duration
from kodolly.improve.journal import Journal
from kodolly.improve.plan import Prepared
from kodolly.improve.training import ADAPTER
from kodolly.improve.turn import DATA


def training_time(prepared: Prepared, rows: int, turns: Iterable[Journal]) -> str:
    """The time for `rows` rows in words, at the speed of the last of `turns` that trained by the same method;
    where there is none, that it is not known."""
    plan, choice = prepared.plan, prepared.choice
    values = recipe_values(
        prepared.card, plan.base, plan.name, choice, DATA[choice.method], prepared.rows.counts()
    )
    for turn in reversed([one for one in turns if one.content.plan.method == plan.method]):
        if (speed := _rows_a_second(turn)) is not None:
            needed = duration(rows * int(values["epochs"]) / speed)
            return f"about {needed} of training, at the {speed:,.1f} rows/s of {turn.directory.name}"
    return f"a training whose time is not known: no turn here has trained by {plan.method} yet"


def _rows_a_second(turn: Journal) -> float | None:
    """The speed of a turn's training, each pass over a row counted; None where it has not ended."""
    try:
        text = (turn.directory / ADAPTER / ADAPTER_FILE).read_text(encoding="utf-8")
        card = AdapterCard.model_validate_json(text).card
    except (OSError, ValidationError):
        return None
    passes = sum(file.rows for file in card.data) * int(card.recipe.get("epochs", 1))
    seconds = card.metrics.get("train_seconds", 0.0)
    return passes / seconds if passes and seconds else None
