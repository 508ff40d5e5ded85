"""`kodolly merge`: a LoRA adapter into its base, and the proof that nothing was lost on the way."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from common.chat_template import load_template, template_hash
from common.errors import UserError
from finetune.adapter import AdapterCard, Probe, read_adapter
from finetune.checkpoint import require_room, size_of, weights_hash, whole_directory, write_checkpoint
from finetune.model import load_model, load_tokenizer
from finetune.parity import check_tokens
from finetune.progress import Progress, Report, hide_library_bars

AGREEMENT = 0.99
"""Share of answer tokens for which adapter and merged model must prefer the same token."""


def merge(adapter_dir: Path, output: Path, report: Report) -> None:
    """Write the complete checkpoint `output`. Raises UserError when it would not be what training made."""
    hide_library_bars()
    adapter = read_adapter(adapter_dir)
    base = Path(adapter.base)
    if not base.is_dir():
        raise UserError(f"The adapter's base {base} does not exist.", hint="Put it back where it was.")
    if weights_hash(base) != adapter.base_sha256:
        raise UserError(
            f"{base} is not the base that this adapter was trained on: its weights differ.",
            hint="Train the adapter again on this base.",
        )
    _check_template(adapter)
    stage = f"{adapter.card.name}: merging"
    report(Progress(stage, 0.0))
    with whole_directory(output) as directory:
        merged, agreement = _merge_and_compare(base, adapter_dir, adapter, directory)
        report(Progress(stage, 0.5, "writing"))
        metrics = adapter.card.metrics | {"merge_argmax_agreement": agreement}
        tokenizer = load_tokenizer(base, adapter.card.template)
        write_checkpoint(directory, merged, tokenizer, adapter.card.model_copy(update={"metrics": metrics}))
        check_tokens(directory, adapter.probes)
    report(Progress(stage, 1.0, f"adapter and merged model agree on {agreement:.1%} of answer tokens"))


def _merge_and_compare(
    base: Path, adapter_dir: Path, adapter: AdapterCard, directory: Path
) -> tuple[Any, float]:
    """(merged model, share of answer tokens on which it prefers what the adapter preferred)."""
    model = load_model(base)
    require_room(directory, size_of(model, adapter.card.dtype))
    tuned = PeftModel.from_pretrained(model, adapter_dir, local_files_only=True).eval()
    expected = _preferred(tuned, adapter.probes)
    merged = tuned.merge_and_unload(safe_merge=True).to(getattr(torch, adapter.card.dtype)).eval()
    agreement = _agreement(expected, _preferred(merged, adapter.probes))
    if agreement < AGREEMENT:
        raise UserError(
            f"Adapter and merged model agree on {agreement:.1%} of the answer tokens, "
            f"less than {AGREEMENT:.0%}; the checkpoint was not written.",
            hint="Merge with dtype: float32 in the recipe.",
        )
    return merged, agreement


def _check_template(adapter: AdapterCard) -> None:
    if template_hash(load_template(adapter.card.template)) != adapter.card.template_hash:
        raise UserError(
            f"The chat template {adapter.card.template!r} has changed since this adapter was trained.",
            hint="Train again, or check out the version it was trained with.",
        )


@torch.no_grad()
def _preferred(model: Any, probes: Sequence[Probe]) -> list[list[int]]:
    """For every probe the model's most likely token at each place of the answer."""
    result = []
    for probe in probes:
        logits = model(input_ids=torch.tensor([probe.input_ids], device=model.device)).logits[0]
        result.append(logits[probe.prompt_tokens - 1 : -1].argmax(-1).tolist())
    return result


def _agreement(left: list[list[int]], right: list[list[int]]) -> float:
    pairs = [(a, b) for one, two in zip(left, right, strict=True) for a, b in zip(one, two, strict=True)]
    return sum(a == b for a, b in pairs) / len(pairs) if pairs else 1.0
