"""`kodolly merge`: a LoRA adapter into its base, and the proof that nothing was lost on the way."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from common.chat_template import load_template, template_hash
from common.errors import UserError
from finetune.adapter import AdapterCard, Probe, read_adapter
from finetune.checkpoint import weights_hash, whole_directory, write_checkpoint
from finetune.model import load_model, load_tokenizer
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
    stage = f"{adapter.card.name}: merging"
    report(Progress(stage, 0.0))
    tokenizer = load_tokenizer(base, adapter.card.template)
    _check_template(adapter)
    _check_tokens(tokenizer, adapter.probes)
    tuned = PeftModel.from_pretrained(load_model(base), adapter_dir, local_files_only=True).eval()
    expected = _preferred(tuned, adapter.probes)
    report(Progress(stage, 0.5, "checking"))
    merged = tuned.merge_and_unload(safe_merge=True).to(getattr(torch, adapter.card.dtype)).eval()
    agreement = _agreement(expected, _preferred(merged, adapter.probes))
    if agreement < AGREEMENT:
        raise UserError(
            f"Adapter and merged model agree on {agreement:.1%} of the answer tokens, "
            f"less than {AGREEMENT:.0%}; the checkpoint was not written.",
            hint="Merge with dtype: float32 in the recipe.",
        )
    metrics = adapter.card.metrics | {"merge_argmax_agreement": agreement}
    with whole_directory(output) as directory:
        write_checkpoint(directory, merged, tokenizer, adapter.card.model_copy(update={"metrics": metrics}))
    report(Progress(stage, 1.0, f"adapter and merged model agree on {agreement:.1%} of answer tokens"))


def _check_template(adapter: AdapterCard) -> None:
    if template_hash(load_template(adapter.card.template)) != adapter.card.template_hash:
        raise UserError(
            f"The chat template {adapter.card.template!r} has changed since this adapter was trained.",
            hint="Train again, or check out the version it was trained with.",
        )


def _check_tokens(tokenizer: Any, probes: Sequence[Probe]) -> None:
    """The template must give token for token what training saw: for the conversation and for its prompt."""
    for probe in probes:
        whole = tokenizer.apply_chat_template(probe.messages, return_dict=True)["input_ids"]
        asked = tokenizer.apply_chat_template(
            probe.messages[:-1], add_generation_prompt=True, return_dict=True
        )["input_ids"]
        if list(whole) != probe.input_ids or list(asked) != probe.input_ids[: probe.prompt_tokens]:
            raise UserError(
                "The base's tokenizer and chat template give other tokens than training saw.",
                hint="The base has changed since; train the adapter again.",
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
