"""Proof that a merged checkpoint answers as base and adapter did, with one layer in memory at a time.

Both models see the same sequences in float32, and the likeliest token at every place of the answers is
compared. The adapter's side is PEFT's own forward pass over the base's files; the merged side knows of the
merged files only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from common.errors import UserError
from finetune.models.adapter import Probe

AGREEMENT = 0.99
"""Share of answer tokens for which adapter and merged model must prefer the same token."""


@dataclass(frozen=True)
class Parity:
    """How alike adapter and merged model are."""

    prompts: int
    tokens: int
    agreement: float
    """Share of the answers' tokens at which both find the same token likeliest."""
    adapter_stops: int
    """Answers at whose end the model finds the end token likeliest."""
    merged_stops: int

    def metrics(self) -> dict[str, float]:
        """For kodolly.json."""
        return {
            "merge_prompts": self.prompts,
            "merge_argmax_agreement": self.agreement,
            "merge_stop_rate_adapter": self.adapter_stops / self.prompts,
            "merge_stop_rate": self.merged_stops / self.prompts,
        }

    def __str__(self) -> str:
        return (
            f"adapter and merged model agree on {self.agreement:.1%} of {self.tokens} answer tokens "
            f"and stop after {self.adapter_stops} and {self.merged_stops} of {self.prompts} answers"
        )


def compare(
    probes: Sequence[Probe], adapter: list[list[int]], merged: list[list[int]], stops: Sequence[int]
) -> Parity:
    """How alike two models' likeliest tokens are. Raises UserError when they are not alike enough."""
    pairs = [(a, b) for one, two in zip(adapter, merged, strict=True) for a, b in zip(one, two, strict=True)]
    parity = Parity(
        prompts=len(probes),
        tokens=len(pairs),
        agreement=sum(a == b for a, b in pairs) / len(pairs),
        adapter_stops=_stops(probes, adapter, stops),
        merged_stops=_stops(probes, merged, stops),
    )
    if parity.agreement < AGREEMENT or parity.adapter_stops != parity.merged_stops:
        raise UserError(
            f"The merged model is not what training made: {parity}. At least {AGREEMENT:.0%} and equal "
            "stops are asked for; the checkpoint was not written.",
            hint="Merge into finer numbers: --dtype float32.",
        )
    return parity


def _stops(probes: Sequence[Probe], preferred: list[list[int]], stops: Sequence[int]) -> int:
    """Probes at the end of whose answer its end token is the likeliest."""
    count = 0
    for probe, tokens in zip(probes, preferred, strict=True):
        answer = probe.input_ids[probe.prompt_tokens :]
        ends = [place for place, token in enumerate(answer) if token in stops]
        count += bool(ends) and tokens[ends[-1]] == answer[ends[-1]]
    return count
