"""The shipped recipes: what each trains, under which licence, on which GPUs, by which command."""

import difflib
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from common.errors import UserError
from finetune.files.unreadable import HUB_ID
from finetune.models.memory import MemoryPlan, WeightSizes, plan_counted, plan_vectors, sizes
from finetune.models.published.by_hub_id import BASE_MODELS
from finetune.models.published.model import PublishedModel
from finetune.recipes.load import load_any_recipe
from finetune.recipes.recipe import EmbeddingTuning, Tuning
from finetune.recipes.sections import Lora

RECIPES = Path(__file__).parents[1] / "recipes"
SHARDING = Path(__file__).parents[1] / "accelerate" / "fsdp.yaml"
"""accelerate's configuration that spreads a model over several GPUs when one has no room for it."""
WEIGHTS = RECIPES / "weights.json"
"""The results of `count_weights` for all recipes, as building the models takes a minute.
`scripts/count-weights` writes the file, and a test compares it with a new count."""
CARD_BYTES = 80 * 10**9
"""Memory of the GPU by which GPUs are counted: an A100 or H100 with 80 GB."""
TEXTS_OF_A_QUESTION = 3
"""What a question of a model of vectors is counted with: itself, its passage and one negative."""
FILLED = 0.9
"""Share of that memory that a plan may fill; the rest goes to the CUDA context and to fragmentation."""


@dataclass(frozen=True)
class Shipped:
    """A shipped recipe."""

    recipe: Tuning | EmbeddingTuning
    path: Path
    model: str
    """Hub id of the published model, also where this recipe begins with another recipe's result."""
    facts: PublishedModel

    @property
    def name(self) -> str:
        """The recipe's name on the command line."""
        return self.recipe.name


@dataclass(frozen=True)
class GpuNeed:
    """The GPUs that a recipe needs, unchanged, with sequences of `max_length`."""

    gpus: int
    """Number of GPUs of CARD_BYTES; above 1 the model is sharded over them."""
    bytes_each: int
    plan: MemoryPlan
    """The memory of the whole model, before it is sharded."""


def recipe_names() -> list[str]:
    """The names of all recipes, with numbers in them sorted by value."""
    return sorted((path.stem for path in RECIPES.glob("*.yaml")), key=_in_order)


def _in_order(name: str) -> list[tuple[float, str]]:
    parts = re.split(r"(\d+(?:\.\d+)?)", name)
    return [(float(part), "") if n % 2 else (0.0, part) for n, part in enumerate(parts)]


def shipped_path(name: str) -> Path:
    """The file of a shipped recipe. Raises UserError for an unknown name."""
    if name not in recipe_names():
        if HUB_ID.fullmatch(name):
            raise _no_recipe(name)
        near = difflib.get_close_matches(name, recipe_names(), n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "`kodolly recipes list` shows them."
        raise UserError(f"There is no shipped recipe {name!r}.", hint=hint)
    return RECIPES / f"{name}.yaml"


def _no_recipe(hub_id: str) -> UserError:
    """The error for a hub id where a recipe is expected; its hint names recipes that begin with this model,
    or how to find one."""
    entries = [shipped(name) for name in recipe_names()]
    fitting = [entry.name for entry in entries if entry.recipe.base == hub_id]
    return UserError(
        f"{hub_id} is a name of the Hugging Face hub, no recipe.",
        hint=f"Recipes that begin with it: {', '.join(fitting)}."
        if fitting
        else "`kodolly recipes list` shows recipes; for a model, "
        f"`kodolly train RECIPE base={hub_id}`; for data, `hf download {hub_id} --repo-type dataset` and "
        "`kodolly data convert`.",
    )


def shipped(name: str) -> Shipped:
    """The shipped recipe `name`, with the facts about its model; its paths are relative to the current
    directory.

    Raises UserError for an unknown name.
    """
    path = shipped_path(name)
    recipe = _tuning(path)
    model = _first_model(recipe)
    return Shipped(recipe, path, model, BASE_MODELS[model])


def _first_model(recipe: Tuning | EmbeddingTuning) -> str:
    """The published model at the start of a chain of recipes: a second step (DPO) begins with `models/NAME`,
    the merged result of the recipe NAME."""
    if recipe.base in BASE_MODELS:
        return recipe.base
    return _first_model(_tuning(shipped_path(Path(recipe.base).name)))


def _tuning(path: Path) -> Tuning | EmbeddingTuning:
    recipe = load_any_recipe(path, folder=Path.cwd())
    if not isinstance(recipe, Tuning | EmbeddingTuning):
        raise TypeError(f"{path} begins with no published model")
    return recipe


def gpu_need(entry: Shipped) -> GpuNeed:
    """Memory in half precision, and the smallest number of GPUs out of 1, 2, 4, 8 ... that have room for it.

    4-bit models stay on one GPU: their weights cannot be spread (finetune/accelerate/fsdp.yaml).
    """
    recipe = entry.recipe
    size = counted_weights()[entry.name]
    if isinstance(recipe, EmbeddingTuning):
        tokens = recipe.max_length * TEXTS_OF_A_QUESTION
        plan = plan_vectors(size, recipe, tokens=tokens, compute_bytes=2)
    else:
        plan = plan_counted(size, recipe, longest=recipe.max_length, compute_bytes=2)
    gpus = 1
    while not entry.recipe.four_bit and plan.on_each_of(gpus).total > FILLED * CARD_BYTES and gpus < 64:
        gpus *= 2
    return GpuNeed(gpus, plan.on_each_of(gpus).total, plan)


def sharded(entry: Shipped) -> bool:
    """Whether the recipe is meant for several GPUs; its file then says how to launch it."""
    return SHARDING.name in entry.path.read_text(encoding="utf-8")


def launch_command(entry: Shipped, need: GpuNeed) -> str:
    """The shell command that trains the recipe on rows in the current directory."""
    if need.gpus == 1:
        return f"kodolly train {entry.name}"
    return (
        f"accelerate launch --config_file {SHARDING.name} --num_processes {need.gpus} "
        f"-m kodolly train {entry.name}"
    )


def count_weights(entry: Shipped) -> WeightSizes:
    """Count the weights of the recipe's model and adapter. Both are built without storage, which takes a
    second or more."""
    recipe = entry.recipe
    adapter = recipe.lora if isinstance(recipe, EmbeddingTuning) else recipe.adapter
    kind = adapter and Lora(rank=adapter.rank, targets=adapter.targets, dora=adapter.dora)
    return _sizes(entry.model, kind)


@cache
def _sizes(model: str, adapter: Lora | None) -> WeightSizes:
    """The count, cached, as LoRA, QLoRA and DPO of one model share it."""
    from transformers import AutoConfig

    return sizes(AutoConfig.for_model(**BASE_MODELS[model].config), adapter)


@cache
def counted_weights() -> dict[str, WeightSizes]:
    """Recipe name -> weights, as counted when WEIGHTS was written."""
    counted = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    return {name: WeightSizes(**size) for name, size in counted.items()}
