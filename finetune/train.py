"""`kodolly train`: from a recipe to a complete checkpoint (pretrain, full) or an adapter (lora)."""

import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from common.chat_template import load_template, template_hash
from common.checkpoint import CheckpointCard, DataSource, read_card
from common.errors import UserError
from finetune.adapter import ADAPTER_FILE, AdapterCard
from finetune.checkpoint import require_room, size_of, weights_hash, whole_directory, write_checkpoint
from finetune.encoding import Example, encode_row, encode_text, within_length
from finetune.model import add_adapter, load_model, load_tokenizer, make_model
from finetune.parity import check_tokens, make_probes
from finetune.progress import Progress, Report, hide_library_bars
from finetune.recipe import Recipe, Source, base_directory, file_hash
from finetune.rows import Row, load_paragraphs, load_rows, to_messages
from finetune.tokenizer import train_tokenizer
from finetune.training_loop import Outcome, run_loop


def train(recipe: Recipe, output: Path, report: Report) -> None:
    """Train as `recipe` says and write `output`, whole or not at all. Raises UserError."""
    hide_library_bars()
    rows = [row for source in (*recipe.data, *recipe.replay) for row in _draw(source, recipe.seed)]
    paragraphs = [paragraph for path in recipe.text for paragraph in load_paragraphs(path)]
    with whole_directory(output) as directory, tempfile.TemporaryDirectory() as scratch:
        tokenizer, model = _prepare(recipe, rows, paragraphs, report)
        require_room(directory, _size(recipe, model))
        examples = _encode(recipe, tokenizer, rows, paragraphs, report)
        outcome = run_loop(model, examples, recipe, tokenizer.pad_token_id, Path(scratch), report)
        card = _card(recipe, model, outcome)
        if recipe.method == "lora":
            _write_adapter(directory, recipe, model, tokenizer, card, examples)
        else:
            write_checkpoint(directory, model.to(getattr(torch, recipe.dtype)), tokenizer, card)
            check_tokens(directory, make_probes(tokenizer, examples))


def _size(recipe: Recipe, model: Any) -> int:
    if recipe.method == "lora":
        return size_of(model, "float32", trained_only=True)
    return size_of(model, recipe.dtype)


def _draw(source: Source, seed: int) -> list[Row]:
    rows = load_rows(source.path, source.split)
    if source.share == 1:
        return rows
    return random.Random(seed).sample(rows, max(1, round(len(rows) * source.share)))


def _prepare(
    recipe: Recipe, rows: Sequence[Row], paragraphs: Sequence[str], report: Report
) -> tuple[Any, Any]:
    """(tokenizer, model to train)."""
    if recipe.architecture is not None:
        report(Progress(f"{recipe.name}: tokenizer", 0.0))
        architecture = recipe.architecture
        template = load_template(recipe.template)
        # An empty tokenizer knows the end token, which is all that rendering needs.
        renderer = train_tokenizer([], architecture.vocabulary, architecture.context)
        renderer.chat_template = template
        texts = [str(renderer.apply_chat_template(to_messages(row), tokenize=False)) for row in rows]
        tokenizer = train_tokenizer([*texts, *paragraphs], architecture.vocabulary, architecture.context)
        tokenizer.chat_template = template
        report(Progress(f"{recipe.name}: tokenizer", 1.0, f"{len(tokenizer)} tokens"))
        return tokenizer, make_model(architecture, tokenizer, recipe.seed)
    base = base_directory(recipe)
    tokenizer = load_tokenizer(base, recipe.template)
    model = load_model(base)
    if recipe.method == "lora":
        torch.manual_seed(recipe.seed)
        model = add_adapter(model, recipe.lora)
    return tokenizer, model


def _encode(
    recipe: Recipe, tokenizer: Any, rows: Sequence[Row], paragraphs: Sequence[str], report: Report
) -> list[Example]:
    encoded = [encode_row(tokenizer, row) for row in rows]
    encoded += [encode_text(tokenizer, paragraph) for paragraph in paragraphs]
    examples, too_long = within_length(encoded, recipe.max_length)
    if too_long and recipe.over_length == "error":
        raise UserError(
            f"{too_long} of {len(encoded)} rows are longer than max_length={recipe.max_length} tokens.",
            hint="Raise max_length, or set over_length: drop.",
        )
    if not examples:
        raise UserError(f"Every row is longer than max_length={recipe.max_length} tokens; nothing is left.")
    dropped = f", {too_long} longer than {recipe.max_length} tokens left out" if too_long else ""
    report(Progress(f"{recipe.name}: data", 1.0, f"{len(examples)} sequences{dropped}"))
    return examples


def _card(recipe: Recipe, model: Any, outcome: Outcome) -> CheckpointCard:
    base_dir = base_directory(recipe) if recipe.base else None
    base = read_card(base_dir) if base_dir else None
    licence = recipe.licence or (base.licence if base else None)
    if licence is None:
        raise UserError(
            "The base does not say its licence.", hint="Put `licence:` into the recipe (the base model's)."
        )
    template = load_template(recipe.template)
    return CheckpointCard(
        name=recipe.name,
        base_model=(base.name if base else base_dir.name) if base_dir else None,
        base_revision=weights_hash(base_dir) if base_dir else None,
        method=recipe.method,
        recipe=recipe.card_dict(),
        data=_sources(recipe),
        licence=licence,
        template=recipe.template,
        template_hash=template_hash(template),
        context_length=int(model.config.max_position_embeddings),
        dtype=recipe.dtype,
        parameters=sum(p.numel() for n, p in model.named_parameters() if "lora_" not in n),
        metrics={"loss": outcome.loss, "steps": outcome.steps, "train_seconds": round(outcome.seconds, 1)},
        created=int(time.time()),
    )


def _sources(recipe: Recipe) -> list[DataSource]:
    rows = [
        DataSource(
            path=source.path.name + (f"#{source.split}" if source.split else ""),
            sha256=file_hash(source.path),
            rows=len(_draw(source, recipe.seed)),
        )
        for source in (*recipe.data, *recipe.replay)
    ]
    texts = [DataSource(path=p.name, sha256=file_hash(p), rows=len(load_paragraphs(p))) for p in recipe.text]
    return rows + texts


def _write_adapter(
    directory: Path,
    recipe: Recipe,
    model: Any,
    tokenizer: Any,
    card: CheckpointCard,
    examples: Sequence[Example],
) -> None:
    model.save_pretrained(directory)
    (directory / "README.md").unlink(missing_ok=True)  # PEFT's form to fill in
    adapter = AdapterCard(
        base=str(base_directory(recipe)),
        base_sha256=card.base_revision or "",
        card=card,
        probes=make_probes(tokenizer, examples),
    )
    (directory / ADAPTER_FILE).write_text(adapter.model_dump_json(indent=2) + "\n", encoding="utf-8")
