"""Proof that a merged checkpoint answers as its base with the adapter, with one layer in memory at a time.

Both models get the same sequences in float32, and their likeliest tokens at every position of the answers are
compared. On the adapter's side PEFT's own forward pass runs over the base's files; the merged side reads only
the merged files.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from common.errors import UserError
from finetune.models.adapter import Probe

AGREEMENT = 0.99
"""Share of positions in answers at which both models must have the same likeliest token."""


@dataclass(frozen=True)
class Parity:
    """How well the merged model agrees with base and adapter."""

    prompts: int
    tokens: int
    agreement: float
    """Share of positions in the answers at which both have the same likeliest token."""
    adapter_stops: int
    """Number of answers at whose end the model's likeliest token is an end token."""
    merged_stops: int

    def metrics(self) -> dict[str, float]:
        """The figures as kodolly.json records them."""
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
    """Compare the likeliest tokens of two models, a list per probe. Raises UserError below AGREEMENT."""
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
    """Number of probes at the end of whose answer the end token is the likeliest."""
    count = 0
    for probe, tokens in zip(probes, preferred, strict=True):
        answer = probe.input_ids[probe.prompt_tokens :]
        ends = [place for place, token in enumerate(answer) if token in stops]
        count += bool(ends) and tokens[ends[-1]] == answer[ends[-1]]
    return count
