"""The checks before a run: template, counts of rows, lengths, memory, disk, licence.

What is known not to work is refused here, with a reason, before it costs anything.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from common.chat_template import read_own_template, template_hash
from common.checkpoint import CheckpointCard, read_card
from common.errors import UserError
from finetune.encoding.encode import IGNORED
from finetune.encoding.own_settings import own_settings, stop_ids
from finetune.models.auto import positions
from finetune.models.load import require_bitsandbytes
from finetune.models.lora_targets import check_targets
from finetune.models.loss_kernels import refuse_fused_loss
from finetune.models.memory import MemoryPlan
from finetune.models.precision import Precision
from finetune.recipes.keys import CommonKeys
from finetune.recipes.recipe import Recipe
from finetune.recipes.template_choice import TemplateChoice
from finetune.train.arguments import steps_in_run
from finetune.train.batches import Packed, TrainingData
from finetune.train.distributed import sharded, world_size
from finetune.train.sequences import TrainingRows, describe

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from finetune.encoding.token_store import Array


MANY_TOO_LONG = 0.05
CHECKED_ENDS = 2000
"""Most sequences whose end token is checked, evenly spread."""


@dataclass(frozen=True)
class Fact:
    """A line of the pre-flight."""

    name: str
    value: str
    warning: str = ""


def refuse_recipe(recipe: CommonKeys, base: Path | None) -> None:
    """Raises UserError for what recipe and base alone show not to work; base: its directory."""
    if recipe.four_bit:
        require_bitsandbytes()
    if base and recipe.adapter:
        check_targets(base, recipe.adapter)
    if base and recipe.fused_loss:
        refuse_fused_loss(recipe, base, sharded())
    for name in recipe.report_to:
        _require_module(name)


def _require_module(name: str) -> None:
    import importlib.util

    if importlib.util.find_spec(name) is None:
        raise UserError(
            f"report_to names {name}, which is not installed.", hint=f"Install {name}, or set report_to: []."
        )


def template_fact(template: TemplateChoice, base: Path) -> Fact:
    """Which template is used, with a warning where the base has another one. Raises UserError for another
    template than the one that a base of ours was tuned with."""
    card = read_card(base)
    shown = template.source if template.source == template.name else f"{template.name}: {template.source}"
    if card is not None and card.template_hash != template_hash(template.text):
        if card.template != template.name or template.is_own:
            raise UserError(
                f"The base was trained with the template {card.template!r}, not {template.name!r}"
                + (f" ({template.source})." if template.is_own else "."),
                hint=f"Set template: {card.template}. A model that knows one prompt answers badly to "
                "another.",
            )
        return Fact("template", shown, "its text has changed since the base was trained with it")
    own = read_own_template(base)
    if card is None and own is not None and own.strip() != template.text.strip():
        return Fact("template", shown, "the base has a chat template of its own, which is not used")
    return Fact("template", shown)


def own_template_fact(rows: TrainingRows, tokenizer: "PreTrainedTokenizerBase") -> list[Fact]:
    """How a model's own template is rendered, and the cost where it rewrites past turns."""
    settings = own_settings(tokenizer)
    if settings is None:
        return []
    given = [
        f"{name}={value!r}" for name, value in (settings.thinking if rows.reasons else settings.plain).items()
    ]
    told = [", ".join(given) or "given nothing besides"]
    told += [f"today is {settings.day.isoformat()}"] if settings.day else []
    number, times = rows.split()
    warning = ""
    if number:
        told.append(f"{number:,} rows are several sequences")
        warning = (
            f"the template shows past turns otherwise than present ones: {times:.1f} times the tokens of one "
            "sequence a row; learn: last has one each"
        )
    return [Fact("rendering", "; ".join(told), warning)]


def licence_of(recipe: CommonKeys, base: CheckpointCard | None) -> str:
    """The result's licence: the recipe's, else the base's. Raises UserError when neither has one."""
    licence = recipe.licence or (base.licence if base else None)
    if licence is None:
        raise UserError(
            "The base does not say its licence.", hint="Put `licence:` into the recipe (the base model's)."
        )
    return licence


def check_rows(
    rows: TrainingRows, data: TrainingData, tokenizer: "PreTrainedTokenizerBase", recipe: Recipe
) -> list[Fact]:
    """Counts of the data. Raises UserError when a row would teach nothing, or would not teach to stop."""
    train = rows.train
    learnt, lengths = train.learnt_lengths, train.lengths
    if (learnt == 0).any():
        raise UserError(
            f"{int((learnt == 0).sum())} of {len(train)} sequences teach nothing: all of them is masked.",
            hint="The template's {% generation %} marks must enclose the answers.",
        )
    sample = np.unique(np.linspace(0, len(train) - 1, min(CHECKED_ENDS, len(train))).astype(int))
    stops = stop_ids(tokenizer)
    ended = [_end(*train.sequence(int(n)), stops) for n in sample]
    if None in ended:
        raise UserError(
            f"{ended.count(None)} of {len(sample)} sequences end without the stop token "
            f"{tokenizer.eos_token}; the model would not learn to stop."
        )
    share = rows.too_long / max(1, rows.rows)
    an_epoch, steps = steps_in_run(recipe, len(data))
    epochs = steps / an_epoch
    ends = [f"{tokenizer.convert_ids_to_tokens(end)} (id {end})" for end in stops if end in ended]
    stop = f"{' or '.join(ends)} is learnt at the end of every sequence"
    packed = f", packed into {len(data):,} ({lengths.sum() / data.lengths.size / recipe.max_length:.0%} full)"
    per_step = recipe.batch_size * recipe.gradient_accumulation * world_size()
    return [
        Fact(
            "data",
            describe(rows, recipe) + (packed if isinstance(data, Packed) else ""),
            f"{share:.0%} of the rows are left out" if share > MANY_TOO_LONG else "",
        ),
        Fact(
            "tokens",
            f"{lengths.sum():,} an epoch, {learnt.sum():,} of them learnt; "
            f"a row has {lengths.mean():.0f} on average, {lengths.max()} at most",
        ),
        Fact("stop token", stop),
        Fact("steps", f"{steps:,} of {per_step} sequences ({an_epoch:,} an epoch, {epochs:.3g} epochs)"),
    ]


def _end(ids: "Array", labels: "Array", stops: Sequence[int]) -> int | None:
    """The last learnt token, if it is one of `stops`."""
    learnt = np.flatnonzero(labels != IGNORED)
    last = int(ids[learnt[-1]]) if len(learnt) else None
    return last if last in stops else None


def check_length(longest: int, config: "PretrainedConfig") -> None:
    """Raises UserError when a sequence has more tokens than the model has positions."""
    most = positions(config)
    if most is not None and longest > most:
        raise UserError(
            f"The longest sequence has {longest} tokens; the model has {most} positions.",
            hint=f"Set max_length={most} or less.",
        )


def check_memory(plan: MemoryPlan, shares: int) -> Fact:
    """The memory plan, with a warning where activations may not fit. Raises UserError when weights, gradients
    and moments alone do not fit; shares: the number of devices among which they are divided."""
    free, where = _room()
    each = plan.on_each_of(shares)
    parts = [
        ("weights", each.weights),
        ("gradients", each.gradients),
        ("optimizer", each.optimizer),
        ("copies of weights", each.copies),
        ("activations", each.activations),
        ("logits", each.logits),
    ]
    listed = ", ".join(f"{name} {bytes_shown(size)}" for name, size in parts if size)
    shown = f"{bytes_shown(each.total)} at the peak ({listed})"
    if each.fixed > free:
        raise UserError(
            f"Training needs {bytes_shown(each.fixed)} before the first row; "
            f"{where} has {bytes_shown(free)}.",
            hint="Train an adapter (lora, qlora), a smaller model, or on more devices (FSDP, ZeRO-3).",
        )
    tight = f"{where} has {bytes_shown(free)}: lower batch_size, or set gradient_checkpointing: true"
    return Fact("memory", f"{shown}; {where} has {bytes_shown(free)}", tight if each.total > free else "")


def _room() -> tuple[int, str]:
    if torch.cuda.is_available():
        return torch.cuda.get_device_properties(0).total_memory, "the GPU"
    return host_memory(), "this machine"


def host_memory() -> int:
    """Bytes of memory that a new program can have, without a GPU's."""
    pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return pages


def check_disk(output: Path, result: int, trained: int, recipe: CommonKeys) -> Fact:
    """The disk space that is needed. Raises UserError when result and training states do not fit.

    result: bytes of the output. trained: number of trained weights.
    """
    states = 0 if recipe.checkpoint_every == "never" else 2 * trained * 12  # float32 and two moments, twice
    folder = next(path for path in (output.parent, *output.parent.resolve().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if result + states > free:
        raise UserError(
            f"{output.parent} has {bytes_shown(free)} free; the result takes {bytes_shown(result)} "
            f"and the states of a run that can be resumed {bytes_shown(states)}.",
            hint="Free some space, name an --output on another disk, or set checkpoint_every: never.",
        )
    return Fact(
        "disk",
        f"{bytes_shown(result)} for the result, {bytes_shown(states)} for states; {bytes_shown(free)} free",
    )


def precision_fact(precision: Precision, attention: str) -> Fact:
    """Number format and attention, with the reason for them."""
    return Fact("precision", f"{precision.reason}; attention {attention}")


def format_facts(facts: Sequence[Fact]) -> str:
    """The facts as lines of name and value, with warnings marked."""
    width = max(len(fact.name) for fact in facts)
    lines = []
    for fact in facts:
        lines.append(f"  {fact.name:<{width}}  {fact.value}")
        if fact.warning:
            lines.append(f"  {'':<{width}}  ! {fact.warning}")
    return "\n".join(lines)


def bytes_shown(number: int) -> str:
    """A number of bytes for people."""
    return f"{number / 1e9:,.1f} GB" if number >= 1e8 else f"{number / 1e6:,.1f} MB"
