"""Everything that a run needs, prepared and checked before it begins."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import TrainingArguments

from common.chat_template import template_names
from common.checkpoint import read_card
from common.errors import UserError
from finetune.data.load import load_paragraphs, load_rows
from finetune.encoding.own_settings import find_settings, set_own
from finetune.encoding.text_ids import rendered, token_ids
from finetune.models.checkpoint import size_of
from finetune.models.load import (
    add_adapter,
    engine_stops,
    load_for_training,
    load_tokenizer,
    make_model,
    make_room,
    set_tokens,
)
from finetune.models.memory import expert_weights, plan_memory, sizes
from finetune.models.precision import Precision, choose_precision
from finetune.models.tokenizer import train_tokenizer
from finetune.progress import Progress, Report, duration, finished
from finetune.recipes.base import base_directory, base_of
from finetune.recipes.recipe import AdapterTuning, PreferenceTuning, Pretraining, Recipe
from finetune.recipes.template_choice import TemplateChoice, choose_template
from finetune.rows.row import to_messages
from finetune.train.arguments import arguments, on_one_device, steps_in_run
from finetune.train.batches import Packed, TrainingData
from finetune.train.distributed import rank, sharded, wait_for_all, world_size
from finetune.train.fused_loss import fuse_loss
from finetune.train.loop import packs_flat
from finetune.train.method import method_of
from finetune.train.overfit_check import forward_rate, smoke_test
from finetune.train.packing_check import check_packing
from finetune.train.preflight import (
    Fact,
    check_disk,
    check_length,
    check_memory,
    check_rows,
    format_facts,
    licence_of,
    own_template_fact,
    precision_fact,
    refuse_recipe,
    template_fact,
)
from finetune.train.run_state import RunState, logs_directory
from finetune.train.sequences import TrainingRows, gather
from finetune.train.session import TrainingSession
from finetune.train.show_rows import show_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


Show = Callable[[str], None]


def show_nothing(_text: str) -> None:
    """Shows nothing, for callers that do not want to see the pre-flight."""


@dataclass(frozen=True)
class PreparedRun:
    """A run that has passed the pre-flight."""

    session: TrainingSession
    rows: TrainingRows
    data: TrainingData
    validation: TrainingData | None
    args: TrainingArguments
    vocabulary_rows: int | None
    """Embedding rows where they had to grow for new tokens; else None."""


def prepare(
    recipe: Recipe, output: Path, state: RunState, report: Report, show: Show, colour: bool
) -> PreparedRun:
    """Prepare a run; `show` gets the pre-flight. Raises UserError for what can be known to go wrong."""
    base, method = base_of(recipe), method_of(recipe)
    precision = choose_precision(recipe)
    template = choose_template(recipe)
    refuse_recipe(recipe, base)
    facts = [template_fact(template, base)] if base else []
    facts.append(Fact("licence", licence_of(recipe, read_card(base) if base else None)))
    with _first_process_first():
        tokenizer = _tokenizer(recipe, template, state, report)
        rows = gather(recipe, tokenizer, state.data, report)
    data = method.training_data(rows.train, rows.sources)
    held_out = rows.validation
    validation = method.validation_data(held_out, rows.validation_sources) if held_out is not None else None
    facts += own_template_fact(rows, tokenizer)
    facts += [*check_rows(rows, data, tokenizer, recipe), *method.facts(data)]
    show(show_rows(tokenizer, rows.train, colour))

    # This comes before the model: FSDP and DeepSpeed read from it that the model is loaded in shards.
    values = arguments(recipe, len(data), state, logs_directory(output), precision)
    args = method.arguments(values, data)
    on_one_device(args)
    model, vocabulary_rows = _model(recipe, tokenizer, precision)
    session = TrainingSession(recipe, template, tokenizer, model, precision, state, report)
    longest = int(data.lengths.max())
    check_length(longest, model.config)
    plan = plan_memory(model.config, recipe, longest=longest, compute_bytes=precision.compute.itemsize)
    facts += [
        precision_fact(precision, str(model.config._attn_implementation)),
        check_memory(plan, world_size() if sharded() else 1),
        check_disk(output, *_disk(recipe, model), recipe),
        *_change_loss(session, rows, data),
    ]
    if rank() == 0:
        facts.append(_try_out(session, rows, len(data)))
    wait_for_all()
    show(format_facts(facts))
    return PreparedRun(session, rows, data, validation, args, vocabulary_rows)


@contextmanager
def _first_process_first() -> Iterator[None]:
    """Run the block in the first process before the others, which then find its results on disk."""
    if rank() > 0:
        wait_for_all()
    yield
    if rank() == 0:
        wait_for_all()


def _tokenizer(
    recipe: Recipe, template: TemplateChoice, state: RunState, report: Report
) -> "PreTrainedTokenizerBase":
    if isinstance(recipe, Pretraining):
        return _made_tokenizer(recipe, template, report)
    base = base_directory(recipe)
    tokenizer = load_tokenizer(base, template.text)
    set_tokens(tokenizer, recipe)
    if template.is_own:
        closes = recipe.reasoning == "empty"
        stops = engine_stops(base, tokenizer)
        set_own(tokenizer, find_settings(tokenizer, stops, state.begun(), closes_thoughts=closes))
    return tokenizer


def _made_tokenizer(
    recipe: Pretraining, template: TemplateChoice, report: Report
) -> "PreTrainedTokenizerBase":
    if template.is_own:
        raise UserError(
            "A model from nothing has no tokens for the marks of a template of its own.",
            hint=f"Name one of {', '.join(template_names())}.",
        )
    report(Progress(f"{recipe.name}: tokenizer", 0.0))
    size, context = recipe.architecture.vocabulary, recipe.architecture.context
    # A tokenizer without merges has the end token, which is all that rendering needs.
    renderer = train_tokenizer([], size, context)
    renderer.chat_template = template.text
    rows = (row for source in recipe.learnt for row in load_rows(source.path, source.split))
    texts = [rendered(renderer, to_messages(row)) for row in rows]
    paragraphs = [paragraph for path in recipe.text for paragraph in load_paragraphs(path)]
    tokenizer = train_tokenizer([*texts, *paragraphs], size, context)
    tokenizer.chat_template = template.text
    report(finished(f"{recipe.name}: tokenizer", f"{len(tokenizer)} tokens"))
    return tokenizer


def _model(
    recipe: Recipe, tokenizer: "PreTrainedTokenizerBase", precision: Precision
) -> tuple["PreTrainedModel", int | None]:
    """(model to train, embedding rows if they had to grow, else None). Raises UserError."""
    if isinstance(recipe, Pretraining):
        made = make_model(recipe.architecture, tokenizer, recipe.seed)
        made.config.use_cache = False
        return made, None
    model = load_for_training(base_directory(recipe), recipe, precision)
    _refuse_unquantised_experts(recipe, model)
    # A cache costs memory, and with it transformers does not read the borders of packed rows from the
    # positions.
    model.config.use_cache = False
    torch.manual_seed(recipe.seed)
    vocabulary_rows = make_room(model, tokenizer)
    if isinstance(recipe, AdapterTuning):
        new_ids = tuple(token_ids(tokenizer, recipe.new_tokens))
        model = add_adapter(model, recipe.lora, new_ids)
        if recipe.gradient_checkpointing:
            model.enable_input_require_grads()  # type: ignore[no-untyped-call]
    if torch.cuda.is_available() and not recipe.four_bit and not sharded():
        model.to(torch.device("cuda", torch.cuda.current_device()))  # type: ignore[arg-type]
    return model, vocabulary_rows


def _refuse_unquantised_experts(recipe: Recipe, model: "PreTrainedModel") -> None:
    experts = expert_weights(model) if recipe.four_bit else 0
    if experts and recipe.lora.targets == "all-linear":
        raise UserError(
            f"The experts of this model ({experts / 1e9:.1f} billion weights) stay in 16 bits: bitsandbytes "
            "makes 4-bit weights of linear layers only, and the experts are fused into tensors.",
            hint="Name attention layers in lora.targets and provide the memory, or use method lora.",
        )


def _change_loss(session: TrainingSession, rows: TrainingRows, data: TrainingData) -> list[Fact]:
    """Put the recipe's loss into the model, then see that it keeps packed rows apart. Raises UserError."""
    facts = fuse_loss(session, rows.train)
    if isinstance(data, Packed):
        check_packing(session.model, rows.train, packs_flat(session.model))
    return facts


def _disk(recipe: Recipe, model: "PreTrainedModel") -> tuple[int, int]:
    """(bytes of the output, weights that are trained)."""
    if isinstance(recipe, PreferenceTuning):  # here the trainer adds the adapter later
        trained = sizes(model.config, recipe.lora).adapter
        return 4 * trained, trained
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    return (4 * trained if recipe.has_adapter else size_of(model, recipe.dtype)), trained


def _try_out(session: TrainingSession, rows: TrainingRows, sequences: int) -> Fact:
    """Run the smoke test, for methods that have one, and estimate how long the run will take. Raises
    UserError."""
    recipe = session.recipe
    an_epoch, steps = steps_in_run(recipe, sequences)
    tokens = int(rows.train.lengths.sum()) * steps / an_epoch / world_size()
    if sharded():
        return Fact(
            "time", "not known: the model is in parts; try the recipe on one device with a smaller base"
        )
    # Pretraining has no test: a model from scratch cannot stop yet. A resumed run has passed it before.
    rates = recipe.smoke_test_rates
    if recipe.smoke_test and rates is not None and session.state.checkpoint is None:
        seen = smoke_test(session, rows.train, rates)
        speed = seen.tokens_per_second
        found = f"stops after {seen.rows} of {seen.rows} rows learnt by heart in {seen.passes} passes; "
    else:
        speed = forward_rate(session, rows.train)
        found = ""
    return Fact("time", f"{found}about {duration(tokens / speed)} ({speed:,.0f} tokens/s)")
