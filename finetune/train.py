"""`kodolly train`: from a recipe to a complete checkpoint or an adapter."""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainingArguments

from common.chat_template import load_template, template_hash
from common.checkpoint import CheckpointCard, read_card
from common.errors import UserError
from finetune.adapter import ADAPTER_FILE, AdapterCard
from finetune.batches import Packed, Pairs, Sequences
from finetune.checkpoint import size_of, weights_hash, whole_directory, write_checkpoint
from finetune.encoding import Example
from finetune.memory import plan_memory, sizes
from finetune.model import (
    add_adapter,
    load_for_training,
    load_tokenizer,
    make_model,
    make_room,
    set_tokens,
)
from finetune.parity import PROBES, check_tokens, make_probes
from finetune.precision import Precision, choose_precision
from finetune.preflight import (
    Fact,
    check_disk,
    check_length,
    check_memory,
    check_packing,
    check_rows,
    format_facts,
    licence_of,
    precision_fact,
    refuse_recipe,
    show_rows,
)
from finetune.processes import only_first, rank, sharded, wait_for_all, world_size
from finetune.progress import Progress, Report, duration, hide_library_bars
from finetune.recipe import Recipe, base_directory, fingerprint
from finetune.rows import load_paragraphs, load_rows, to_messages
from finetune.run_state import RunState, logs_directory, run_state
from finetune.smoke_test import forward_rate, smoke_test
from finetune.tokenizer import train_tokenizer
from finetune.training_loop import (
    Data,
    Outcome,
    arguments,
    packs_flat,
    quiet_libraries,
    run_loop,
    steps_in_run,
)
from finetune.training_rows import TrainingRows, gather

LOG_FILE = "training-log.json"
"""In the output: every logged step with loss, gradient norm and learning rate, every evaluation."""

Show = Callable[[str], None]


def _show_nothing(_text: str) -> None:
    """For callers that want no pre-flight."""


@dataclass(frozen=True)
class Run:
    """A run that has been looked at and may begin."""

    recipe: Recipe
    tokenizer: Any
    rows: TrainingRows
    data: Data
    validation: Data | None
    model: Any
    args: TrainingArguments
    vocabulary_rows: int | None
    """Embedding rows after new tokens were added; None when none had to be."""


def train(
    recipe: Recipe,
    output: Path,
    report: Report,
    *,
    restart: bool = False,
    dry_run: bool = False,
    show: Show = _show_nothing,
    colour: bool = False,
) -> None:
    """Train as `recipe` says and write `output`, whole or not at all. Raises UserError.

    A run that was killed goes on from its last state; `restart` begins anew. `show` gets the pre-flight's
    text, in colour for terminals; with `dry_run` that is all that happens.
    """
    hide_library_bars()
    report = only_first(report)
    show = show if rank() == 0 else _show_nothing
    wait_for_all()  # also chooses this process's device
    with quiet_libraries(), _places(recipe, output, restart, dry_run) as (directory, state):
        run = _prepare(recipe, output, state, report, show, colour)
        if dry_run:
            return
        with quiet_libraries():
            outcome, trainer = _learn(run, state, report)
        weights = trainer.accelerator.get_state_dict(trainer.model_wrapped) if sharded() else None
        if rank() == 0:
            _write(directory, run, trainer.accelerator.unwrap_model(trainer.model), weights, outcome)
        wait_for_all()


@contextmanager
def _places(recipe: Recipe, output: Path, restart: bool, dry_run: bool) -> Iterator[tuple[Path, RunState]]:
    """(directory that becomes the output, state of the run)."""
    with ExitStack() as stack:
        if dry_run:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            (scratch / "data").mkdir()
            yield scratch, RunState(scratch, None)
            return
        directory = stack.enter_context(whole_directory(output)) if rank() == 0 else output
        mark = f"{fingerprint(recipe)} {world_size()}"
        yield directory, stack.enter_context(run_state(output, mark, restart=restart))


def _prepare(recipe: Recipe, output: Path, state: RunState, report: Report, show: Show, colour: bool) -> Run:
    """The pre-flight: all that can be known to go wrong is refused here. Raises UserError."""
    base = base_directory(recipe) if recipe.base else None
    precision = choose_precision(recipe)
    facts = refuse_recipe(recipe, base)
    facts.append(Fact("licence", licence_of(recipe, read_card(base) if base else None)))
    tokenizer = _tokenizer(recipe, base, report)
    with _first_process_first():
        rows = gather(recipe, tokenizer, state.data, report)
    data, validation = _as_data(recipe, rows)
    facts += check_rows(rows, data, tokenizer, recipe)
    show(show_rows(tokenizer, rows.train, colour))

    # Made before the model: FSDP and DeepSpeed learn from it to load the model in parts.
    values = arguments(recipe, len(data), state, logs_directory(output), precision)
    args = _trainer_arguments(values, recipe)
    model, vocabulary_rows = _model(recipe, base, tokenizer, precision)
    longest = int(data.lengths.max())
    check_length(longest, model.config)
    plan = plan_memory(model.config, recipe, longest=longest, compute_bytes=precision.compute.itemsize)
    facts += [
        precision_fact(precision, str(model.config._attn_implementation)),
        check_memory(plan, world_size() if sharded() else 1),
        check_disk(output, *_disk(recipe, model), recipe),
    ]
    if recipe.packing:
        check_packing(model, rows.train, packs_flat(model))
    if rank() == 0:
        facts.append(_try_out(recipe, model, rows, len(data), tokenizer, precision, state, report))
    wait_for_all()
    show(format_facts(facts))
    return Run(recipe, tokenizer, rows, data, validation, model, args, vocabulary_rows)


@contextmanager
def _first_process_first() -> Iterator[None]:
    """The others find on disk what the first has made."""
    if rank() > 0:
        wait_for_all()
    yield
    if rank() == 0:
        wait_for_all()


def _trainer_arguments(values: dict[str, Any], recipe: Recipe) -> TrainingArguments:
    if recipe.method == "dpo":
        from finetune.dpo import dpo_arguments

        return dpo_arguments(values, recipe)
    return TrainingArguments(**values)


def _as_data(recipe: Recipe, rows: TrainingRows) -> tuple[Data, Data | None]:
    held_out = rows.validation
    if recipe.method == "dpo":
        return Pairs(rows.train), Pairs(held_out) if held_out is not None else None
    kept = Sequences(held_out) if held_out is not None else None
    return (Packed(rows.train, recipe.max_length) if recipe.packing else Sequences(rows.train)), kept


def _tokenizer(recipe: Recipe, base: Path | None, report: Report) -> Any:
    if base is not None:
        tokenizer = load_tokenizer(base, recipe.template)
        set_tokens(tokenizer, recipe)
        return tokenizer
    assert recipe.architecture is not None
    report(Progress(f"{recipe.name}: tokenizer", 0.0))
    size, context = recipe.architecture.vocabulary, recipe.architecture.context
    # An empty tokenizer knows the end token, which is all that rendering needs.
    renderer = train_tokenizer([], size, context)
    renderer.chat_template = load_template(recipe.template)
    rows = (row for source in (*recipe.data, *recipe.replay) for row in load_rows(source.path, source.split))
    texts = [str(renderer.apply_chat_template(to_messages(row), tokenize=False)) for row in rows]
    paragraphs = [paragraph for path in recipe.text for paragraph in load_paragraphs(path)]
    tokenizer = train_tokenizer([*texts, *paragraphs], size, context)
    tokenizer.chat_template = load_template(recipe.template)
    report(Progress(f"{recipe.name}: tokenizer", 1.0, f"{len(tokenizer)} tokens"))
    return tokenizer


def _model(recipe: Recipe, base: Path | None, tokenizer: Any, precision: Precision) -> tuple[Any, int | None]:
    """(model to train, embedding rows if they had to grow)."""
    if base is None:
        assert recipe.architecture is not None
        made = make_model(recipe.architecture, tokenizer, recipe.seed)
        made.config.use_cache = False
        return made, None
    model = load_for_training(base, recipe, precision)
    _refuse_unquantised_experts(recipe, model)
    # Besides its cost, a cache keeps transformers from reading the borders of packed rows out of positions.
    model.config.use_cache = False
    torch.manual_seed(recipe.seed)
    vocabulary_rows = make_room(model, tokenizer)
    if recipe.method in ("lora", "qlora"):
        new_ids = tuple(tokenizer.convert_tokens_to_ids(list(recipe.new_tokens)))
        model = add_adapter(model, recipe.lora, new_ids)
        if recipe.gradient_checkpointing:
            model.enable_input_require_grads()
    if torch.cuda.is_available() and not recipe.quantize and not sharded():
        model.to(torch.device("cuda", torch.cuda.current_device()))
    return model, vocabulary_rows


def _refuse_unquantised_experts(recipe: Recipe, model: Any) -> None:
    experts = sum(p.numel() for p in model.parameters() if p.ndim == 3) if recipe.quantize else 0
    if experts and recipe.lora.targets == "all-linear":
        raise UserError(
            f"The experts of this model ({experts / 1e9:.1f} billion weights) stay in 16 bits: bitsandbytes "
            "makes 4-bit weights of linear layers only, and the experts are fused into tensors.",
            hint="Name attention layers in lora.targets and provide the memory, or use method lora.",
        )


def _disk(recipe: Recipe, model: Any) -> tuple[int, int]:
    """(bytes of the output, weights that are trained)."""
    if recipe.method == "dpo":
        trained = sizes(model.config, recipe.lora).adapter
        return 4 * trained, trained
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    return (4 * trained if recipe.has_adapter else size_of(model, recipe.dtype)), trained


def _try_out(
    recipe: Recipe,
    model: Any,
    rows: TrainingRows,
    sequences: int,
    tokenizer: Any,
    precision: Precision,
    state: RunState,
    report: Report,
) -> Fact:
    """The smoke test where it means something, and how long the run will take. Raises UserError."""
    an_epoch, steps = steps_in_run(recipe, sequences)
    tokens = int(rows.train.lengths.sum()) * steps / an_epoch / world_size()
    if sharded():
        return Fact(
            "time", "not known: the model is in parts; try the recipe on one device with a smaller base"
        )
    # A model from nothing cannot stop before it is trained, and a state has passed the test before.
    if recipe.smoke_test and recipe.method in ("full", "lora", "qlora") and state.checkpoint is None:
        seen = smoke_test(
            model, rows.train, recipe, tokenizer.pad_token_id, tokenizer.eos_token_id, precision, report
        )
        speed = seen.tokens_per_second
        found = f"stops after {seen.rows} of {seen.rows} rows learnt by heart in {seen.passes} passes; "
    else:
        speed = forward_rate(model, rows.train, recipe, tokenizer.pad_token_id, precision)
        found = ""
    return Fact("time", f"{found}about {duration(tokens / speed)} ({speed:,.0f} tokens/s)")


def _learn(run: Run, state: RunState, report: Report) -> tuple[Outcome, Trainer]:
    if isinstance(run.data, Pairs):
        from trl.trainer.dpo_config import DPOConfig

        from finetune.dpo import run_dpo

        assert run.validation is None or isinstance(run.validation, Pairs)
        assert isinstance(run.args, DPOConfig)
        return run_dpo(
            run.model, run.data, run.validation, run.recipe, run.args, run.tokenizer, state, report
        )
    pad = run.tokenizer.pad_token_id
    return run_loop(run.model, run.data, run.validation, run.recipe, run.args, pad, state, report)


def _write(directory: Path, run: Run, model: Any, weights: dict[str, Any] | None, outcome: Outcome) -> None:
    """Fill `directory`. `weights`: what a model in parts was put together to, None for a whole one."""
    recipe, tokenizer = run.recipe, run.tokenizer
    card = _card(run, model, outcome)
    examples = _probe_examples(run)
    if recipe.has_adapter:
        model.save_pretrained(directory, state_dict=weights, save_embedding_layers=False)
        (directory / "README.md").unlink(missing_ok=True)  # PEFT's form to fill in
        if recipe.new_tokens or recipe.end_token:
            tokenizer.save_pretrained(directory)
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
        write_checkpoint(directory, model, tokenizer, card, weights)
        check_tokens(directory, make_probes(tokenizer, examples))
    log = json.dumps(outcome.history, indent=1)
    (directory / LOG_FILE).write_text(log + "\n", encoding="utf-8")


def _probe_examples(run: Run) -> list[Example]:
    """Conversations that are one text to the tokenizer; a few are prompt and answer apart (encoding.py)."""
    found = run.rows.conversations(run.tokenizer, PROBES, run.recipe.method == "dpo")
    whole = []
    for example in found:
        text = run.tokenizer.apply_chat_template(example.messages, tokenize=False)
        if run.tokenizer(text, add_special_tokens=False)["input_ids"] == example.input_ids:
            whole.append(example)
    return whole


def _card(run: Run, model: Any, outcome: Outcome) -> CheckpointCard:
    recipe = run.recipe
    directory = base_directory(recipe) if recipe.base else None
    base = read_card(directory) if directory else None
    template = load_template(recipe.template)
    metrics = {"loss": outcome.loss, "steps": outcome.steps, "train_seconds": round(outcome.seconds, 1)}
    if outcome.validation_loss is not None:
        metrics |= {"validation_loss": outcome.validation_loss, "best_step": outcome.best_step or 0}
    return CheckpointCard(
        name=recipe.name,
        base_model=_base_name(recipe, base),
        base_revision=weights_hash(directory) if directory else None,
        method=recipe.method,
        recipe=recipe.card_dict(),
        data=list(run.rows.card),
        licence=licence_of(recipe, base),
        template=recipe.template,
        template_hash=template_hash(template),
        context_length=_context_length(model.config, recipe),
        dtype=recipe.dtype,
        parameters=sizes(model.config).total,
        metrics=metrics,
        created=int(time.time()),
    )


def _base_name(recipe: Recipe, base: CheckpointCard | None) -> str | None:
    if recipe.base is None:
        return None
    if base is not None:
        return base.name
    return Path(recipe.base).name if Path(recipe.base).is_absolute() else recipe.base


def _context_length(config: Any, recipe: Recipe) -> int:
    """Positions of the model; architectures that count none (BLOOM) are good for what they were tuned to."""
    return int(getattr(config.get_text_config(), "max_position_embeddings", None) or recipe.max_length)
