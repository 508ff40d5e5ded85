"""Feedback as rows of a training, for the results page of the web UI, which knows nothing of training."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel

from common.status import Status

Row = dict[str, Any]


def training_rows(
    method: Literal["dpo", "kto", "sft"], votes: Sequence[Row], ratings: Sequence[Row], status: Status
) -> Iterator[Row]:
    """What `kodolly data from-feedback` would write of these. Raises UserError for what is no feedback."""
    from finetune.data.from_feedback import training_data
    from finetune.data.stored_feedback import parse_feedback
    from kodolly.feedback_sources import sources_in

    made = training_data(parse_feedback(votes, ratings), sources=sources_in(status))
    items: dict[str, Sequence[BaseModel]] = {"dpo": made.pairs, "kto": made.labelled, "sft": made.rows}
    return (item.model_dump(exclude_none=True) for item in items[method])
