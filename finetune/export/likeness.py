"""How alike an exported checkpoint is to its source: the likeliest token at each place of known answers.

What rounds weights changes answers, so equality is not asked for. A file that was written wrongly agrees in
next to nothing, and one that rounds too much is told by the figure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import UserError
from finetune.data.load import load_rows
from finetune.encoding.encode import prompt_ids
from finetune.encoding.text_ids import inner_ids
from finetune.export.source import ExportSource
from finetune.merge.foreign_adapter import LONGEST, PROBES, ROWS
from finetune.merge.streamed_model import CheckpointWeights, StreamedModel
from finetune.models.adapter import Probe
from finetune.progress import Progress, Report, finished
from finetune.rows.row import to_messages

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


LOWEST = 0.8
"""Share of answer tokens below which nothing is written. 8 bits keep 95 to 99% of a trained model's."""


@dataclass(frozen=True)
class Likeness:
    """Of an exported checkpoint to its source."""

    tokens: int
    agreement: float
    """Share of the answers' tokens at which both find the same token likeliest."""

    def metrics(self) -> dict[str, float]:
        """For kodolly.json."""
        return {"export_tokens": self.tokens, "export_argmax_agreement": self.agreement}

    def __str__(self) -> str:
        return f"source and result agree on {self.agreement:.1%} of {self.tokens} answer tokens"


def answer_probes(tokenizer: "PreTrainedTokenizerBase", end: int) -> list[Probe]:
    """Bundled Korean conversations in the tokenizer's chat template; `end` is behind each answer.
    However long a text the template puts around each, they are at most LONGEST tokens more than that."""
    made: list[Probe] = []
    longest = LONGEST + len(prompt_ids(tokenizer, [{"role": "user", "content": "?"}]))
    for row in load_rows(ROWS):
        *asked, answer = to_messages(row.model_copy(update={"history": ()}))
        prompt = prompt_ids(tokenizer, asked)
        ids = [*prompt, *inner_ids(tokenizer, str(answer["content"])), end]
        if len(ids) <= longest:
            made.append(Probe(messages=[*asked, answer], input_ids=ids, prompt_tokens=len(prompt)))
        if len(made) == PROBES:
            break
    return made


def prove(
    source: ExportSource,
    model: "PreTrainedModel",
    weights: CheckpointWeights,
    result_model: "PreTrainedModel",
    result: CheckpointWeights,
    report: Report,
) -> Likeness:
    """The two compared, one layer in memory at a time; models without weights, and where these are. Raises
    UserError when they are too far apart."""
    probes, stage = answer_probes(source.tokenizer, source.stops[0]), f"{source.card.name}: comparing"
    expected = StreamedModel(model, weights).likeliest(
        probes, lambda done: report(Progress(stage, done / 2, "source"))
    )
    found = StreamedModel(result_model, result).likeliest(
        probes, lambda done: report(Progress(stage, 0.5 + done / 2, "result"))
    )
    likeness = compare(expected, found)
    report(finished(stage, str(likeness)))
    return likeness


def compare(source: Sequence[Sequence[int]], result: Sequence[Sequence[int]]) -> Likeness:
    """Of two models' likeliest tokens. Raises UserError when they are too far apart."""
    pairs = [(a, b) for one, two in zip(source, result, strict=True) for a, b in zip(one, two, strict=True)]
    likeness = Likeness(len(pairs), sum(a == b for a, b in pairs) / len(pairs))
    if likeness.agreement < LOWEST:
        raise UserError(
            f"The result is not the model it was made from: {likeness}. At least {LOWEST:.0%} is asked for; "
            "nothing was written.",
            hint="Serve the checkpoint as it is; this model does not bear so few bits.",
        )
    return likeness
