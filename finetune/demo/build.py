"""The two demo models: trained from what is bundled, by the code of `kodolly train` and `kodolly merge`."""

import hashlib
import sys
from pathlib import Path

from common.errors import UserError
from common.openmp import let_waiting_threads_sleep
from finetune.files.hashes import file_hash
from finetune.models.quiet import hide_library_notes
from finetune.progress import Report, terminal_report
from finetune.recipes.load import load_recipe
from finetune.recipes.recipe import Recipe, fingerprint
from finetune.recipes.template_choice import choose_template

RECIPES = Path(__file__).parent
CODE = (
    "models/adapter_files",
    "data/load",
    "encoding/encode",
    "encoding/encode_files",
    "encoding/token_store",
    "merge/edits",
    "merge/lora",
    "merge/parameter_names",
    "merge/parity",
    "merge/safetensors_io",
    "merge/streamed_model",
    "merge/source",
    "models/load",
    "models/precision",
    "models/tokenizer",
    "rows/row",
    "train/arguments",
    "train/batches",
    "train/loop",
    "train/overfit_check",
    "train/prepare",
    "train/run",
    "train/sequences",
    "train/write",
)
"""Modules of finetune whose code decides the weights: a change in one of them trains the demo anew."""


def demo_directories(directory: Path) -> tuple[Path, Path]:
    """The paths of demo-base and demo-dolly below `directory`, whether or not they are there yet.

    The names carry a hash of recipe, rows, text, template and the code that decides the weights, so that a
    change in any of them trains anew.
    """
    base = directory / f"demo-base-{_key(load_recipe(RECIPES / 'base.yaml'))}"
    return base, directory / f"demo-dolly-{_key(_tune_recipe(base))}"


def _key(recipe: Recipe) -> str:
    code = [file_hash(Path(__file__).parents[1] / f"{module}.py") for module in CODE]
    return hashlib.sha256(
        " ".join([fingerprint(recipe, choose_template(recipe).text), *code]).encode()
    ).hexdigest()[:16]


def build_demo(directory: Path, report: Report) -> None:
    """Train and merge what is missing below `directory`. Raises UserError.

    A directory gets its name only when it is whole (finetune/files/whole.py), so that after a killed run only
    what is missing is made. Two processes that build the same models take turns.
    """
    from filelock import FileLock

    base, dolly = demo_directories(directory)
    if dolly.exists():
        return
    directory.mkdir(parents=True, exist_ok=True)
    with FileLock(directory / ".lock"):
        if not dolly.exists():
            _build(directory, base, dolly, report)


def _build(directory: Path, base: Path, dolly: Path, report: Report) -> None:
    let_waiting_threads_sleep()
    hide_library_notes()
    from finetune.merge.lora import merge  # torch loads only when there is something to train
    from finetune.train.run import train

    if not base.exists():
        train(load_recipe(RECIPES / "base.yaml"), base, report)
    adapter = directory / f"adapter-{dolly.name.rpartition('-')[2]}"
    if not adapter.exists():
        train(_tune_recipe(base), adapter, report)
    merge(adapter, dolly, report)


def link_demo(directory: Path) -> None:
    """Make `demo-base` and `demo-dolly` below `directory` lead to the models of this version."""
    for name, model in zip(("demo-base", "demo-dolly"), demo_directories(directory), strict=True):
        new = directory / f".{name}.link"
        new.unlink(missing_ok=True)
        new.symlink_to(model.name)
        new.replace(directory / name)


def _tune_recipe(base: Path) -> Recipe:
    return load_recipe(RECIPES / "tune.yaml", [f"base={base}"])


if __name__ == "__main__":
    try:
        build_demo(Path(sys.argv[1]), terminal_report())
        link_demo(Path(sys.argv[1]))
    except UserError as error:
        sys.exit(f"kodolly: {error}")
