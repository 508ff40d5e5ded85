"""Writes the checkpoint or adapter of a finished run."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from common.chat_template import TEMPLATE_FILE, template_hash
from common.checkpoint import CheckpointCard, read_card
from finetune.encoding.encode import Example
from finetune.encoding.own_settings import own_settings, stop_ids
from finetune.encoding.parity import PROBES, check_tokens, make_probes
from finetune.encoding.text_ids import rendered, text_ids
from finetune.models.adapter import ADAPTER_FILE, AdapterCard
from finetune.models.auto import positions
from finetune.models.checkpoint import weights_hash, write_checkpoint
from finetune.models.memory import sizes
from finetune.recipes.base import base_directory, base_of
from finetune.recipes.keys import CommonKeys, OnAdapter, OnBase
from finetune.recipes.recipe import Recipe
from finetune.train.loop import LoopResult
from finetune.train.preflight import licence_of
from finetune.train.prepare import PreparedRun

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


LOG_FILE = "training-log.json"
"""File in the output with every logged step (loss, gradient norm, learning rate) and every evaluation."""


def write(
    directory: Path,
    run: PreparedRun,
    model: "PreTrainedModel",
    weights: dict[str, torch.Tensor] | None,
    outcome: LoopResult,
) -> None:
    """Fill `directory` with the result. weights: the gathered weights of a sharded model; None for a model
    that is whole."""
    recipe, tokenizer = run.session.recipe, run.session.tokenizer
    card = _card(run, model, outcome)
    examples = _probe_examples(run)
    if isinstance(recipe, OnAdapter):
        model.save_pretrained(directory, state_dict=weights, save_embedding_layers=False)
        (directory / "README.md").unlink(missing_ok=True)  # PEFT's blank model card
        if recipe.added_tokens or recipe.end_token:
            tokenizer.save_pretrained(directory)
        if run.session.template.is_own:
            (directory / TEMPLATE_FILE).write_text(run.session.template.text, encoding="utf-8")
        adapter = AdapterCard(
            base=str(base_directory(recipe)),
            base_sha256=card.base_revision or "",
            card=card,
            probes=make_probes(tokenizer, examples),
            vocabulary_rows=run.vocabulary_rows,
            end_token=recipe.end_token,
        )
        (directory / ADAPTER_FILE).write_text(adapter.model_dump_json(indent=2) + "\n", encoding="utf-8")
    else:
        dtype = getattr(torch, recipe.dtype)
        if weights is None:
            model = model.to(dtype)
        else:
            weights = {name: value.to(dtype) for name, value in weights.items()}
        write_checkpoint(directory, model, tokenizer, card, weights, stop_ids(tokenizer))
        check_tokens(directory, make_probes(tokenizer, examples), card.own_template)
    log = json.dumps(outcome.history, indent=1)
    (directory / LOG_FILE).write_text(log + "\n", encoding="utf-8")


def _probe_examples(run: PreparedRun) -> list[Example]:
    """Training sequences for the merge's check: those that a tokenizer makes of the conversation in one go.
    For a few rows prompt and answer were tokenised apart (encode.py)."""
    found = run.rows.conversations(run.session.tokenizer, PROBES)
    if run.session.template.is_own:
        return found
    whole = []
    for example in found:
        assert example.messages is not None, "a conversation"
        tokenizer = run.session.tokenizer
        if text_ids(tokenizer, rendered(tokenizer, example.messages)) == example.input_ids:
            whole.append(example)
    return whole


def _card(run: PreparedRun, model: "PreTrainedModel", outcome: LoopResult) -> CheckpointCard:
    recipe = run.session.recipe
    directory = base_of(recipe)
    base = read_card(directory) if directory else None
    settings = own_settings(run.session.tokenizer)
    metrics = {"loss": outcome.loss, "steps": outcome.steps, "train_seconds": round(outcome.seconds, 1)}
    if outcome.validation_loss is not None:
        metrics |= {"validation_loss": outcome.validation_loss, "best_step": outcome.best_step or 0}
    return CheckpointCard(
        name=recipe.name,
        base_model=base_name(recipe, base),
        base_revision=weights_hash(directory) if directory else None,
        method=recipe.method,
        recipe=recipe.card_dict(),
        data=list(run.rows.card),
        licence=licence_of(recipe, base),
        template=run.session.template.name,
        template_hash=template_hash(run.session.template.text),
        own_template=settings.card(run.session.tokenizer, reasons=run.rows.reasons) if settings else None,
        context_length=_context_length(model.config, recipe),
        dtype=recipe.dtype,
        parameters=sizes(model.config).total,
        metrics=metrics,
        created=int(time.time()),
    )


def base_name(recipe: CommonKeys, base: CheckpointCard | None) -> str | None:
    """What a card calls the recipe's base, whose own card is `base`: no path of this machine."""
    if not isinstance(recipe, OnBase):
        return None
    if base is not None:
        return base.name
    return Path(recipe.base).name if Path(recipe.base).is_absolute() else recipe.base


def _context_length(config: "PretrainedConfig", recipe: Recipe) -> int:
    """The model's positions; where its configuration has none (BLOOM), the recipe's max_length, as the model
    was tuned up to that."""
    return positions(config) or recipe.max_length
