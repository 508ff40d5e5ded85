"""Training and merging on a GPU: speed beside a plain TRL script, memory beside the plan of `kodolly train`.

    python benchmarks/gpu.py                                  # all of it wants a GPU of 80 GB or more
    python benchmarks/gpu.py --shapes polyglot-ko-1.3b --methods lora,qlora
    python benchmarks/gpu.py --device cpu --shapes tiny       # every step, on any machine

Needs the extra `finetune` and no network: bases have published models' sizes, random weights and a tokenizer
of the demo's rows. Each run is a process of its own. Beside each term of the plan (finetune/models/memory.py)
stands what was measured, and the constants to change. A run for which kodolly finds no room is left out. Exit
codes: 1 where an aim is missed, 2 where a run fails, 3 where there is no GPU. Let nothing else use the device
meanwhile.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from benchmarks.training import RANK, ROWS, SHARED_ENV, prompts_and_completions  # noqa: E402

if TYPE_CHECKING:
    from benchmarks.training_meter import Readings

METHODS = ("lora", "qlora", "full")
FAILED, NO_DEVICE = 2, 3
SPEED_AIM = 1.0
"""Tokens/s as a share of TRL's."""
MEMORY_AIM = 0.10
"""How far the peak may lie from the plan, as a share of the plan."""
RATE = 1e-5
PROMPT = "이어서 써 줘."
PROMPT_TOKENS = 150
"""Room for Dolly's prompt."""
TINY = {"layers": 4, "width": 256, "heads": 4, "vocabulary": 2000, "context": 2048}
CONSTANTS = {
    "weights": "WEIGHT, NF4_BYTES",
    "optimizer": "ADAM",
    "gradients": "GRADIENT",
    "copies and activations": "AUTOCAST_COPY, DEQUANTISED, KEPT, KEPT_BY_NORMS",
    "logits": "LOGITS_BYTES",
}
"""Term of the plan -> its constants in finetune/models/memory.py."""
# glibc gives every tensor of a CPU back at once, so that the process holds what its tensors take.
RETURNED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


@dataclass(frozen=True)
class Shape:
    """A base with random weights, and the batches that it is trained on."""

    published: str | None
    """Hub id of the model whose sizes the base has; None for a small GPT-NeoX."""
    batch: int
    tokens: int
    """Of each sequence, about."""
    checkpointing: bool


SHAPES = {
    "polyglot-ko-1.3b": Shape("EleutherAI/polyglot-ko-1.3b", 8, 512, checkpointing=False),
    "qwen3-4b": Shape("Qwen/Qwen3-4B", 8, 512, checkpointing=True),
    "tiny": Shape(None, 4, 256, checkpointing=False),
}


@dataclass(frozen=True)
class Run:
    """One training run."""

    shape: Shape
    method: str
    folder: Path
    """Holds `base` and `rows.jsonl`; the run writes beside them."""
    steps: int
    on_gpu: bool

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.steps * self.shape.batch

    @property
    def adapter(self) -> bool:
        """Whether the method trains an adapter."""
        return self.method != "full"


def make_base(run: Run) -> dict[str, str]:
    """Write `base`, in bfloat16 as published models are but for the tiny one, and the rows of all steps.
    Returns the name of the device."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from finetune.data.load import load_rows
    from finetune.models.load import make_model
    from finetune.models.published.by_hub_id import BASE_MODELS
    from finetune.models.tokenizer import train_tokenizer
    from finetune.recipes.sections import Architecture

    text = " ".join(row.response for row in load_rows(ROWS))
    tokenizer = train_tokenizer([text], TINY["vocabulary"], TINY["context"])
    if run.shape.published is None:
        model: Any = make_model(Architecture.model_validate(TINY), tokenizer, seed=1)
    else:
        config = AutoConfig.for_model(**BASE_MODELS[run.shape.published].config)
        config.bos_token_id = config.eos_token_id = tokenizer.eos_token_id
        with torch.device("cuda" if run.on_gpu else "cpu"):
            model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
    model.save_pretrained(run.folder / "base")
    tokenizer.save_pretrained(run.folder / "base")
    ids, size = tokenizer(text)["input_ids"], run.shape.tokens - PROMPT_TOKENS
    answers = [str(tokenizer.decode(ids[97 * n % (len(ids) - size) :][:size])) for n in range(run.rows)]
    rows = [{"instruction": PROMPT, "context": "", "response": each.strip("\ufffd")} for each in answers]
    lines = [json.dumps(row | {"category": "brainstorming"}, ensure_ascii=False) for row in rows]
    (run.folder / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"device": torch.cuda.get_device_name() if run.on_gpu else "CPU"}


def recipe_values(run: Run) -> dict[str, Any]:
    """The recipe for `kodolly train`."""
    return {
        "name": "benchmark",
        "method": run.method,
        "base": str(run.folder / "base"),
        "data": [{"path": str(run.folder / "rows.jsonl")}],
        "template": "dolly",
        "licence": "Apache-2.0",
        "epochs": 1,
        "learning_rate": RATE,
        "schedule": "linear",
        "batch_size": run.shape.batch,
        "max_length": 2 * run.shape.tokens,
        "gradient_checkpointing": run.shape.checkpointing,
        "checkpoint_every": "never",
        "smoke_test": False,  # random weights are not tuned to stop
        "report_to": [],
        **({"lora": {"rank": RANK, "alpha": 2 * RANK}} if run.adapter else {}),
    }


def run_kodolly(run: Run, readings: "Readings") -> dict[str, float]:
    """Train by the command itself; returns the plan's terms for the batches that it had."""
    import yaml
    from transformers import AutoConfig

    from finetune.models.memory import plan_memory
    from finetune.models.precision import choose_precision
    from finetune.recipes.recipe import validate_recipe
    from kodolly.commands.train import command

    values = recipe_values(run)
    path = run.folder / f"{run.method}.yaml"
    path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    command.main([str(path), "--output", str(run.folder / run.method)], standalone_mode=False)
    recipe = validate_recipe(values)
    config = AutoConfig.from_pretrained(values["base"])
    compute = choose_precision(recipe).compute.itemsize
    plan = plan_memory(config, recipe, longest=readings.longest, compute_bytes=compute)
    terms = {
        "weights": plan.weights,
        "optimizer": plan.optimizer,
        "gradients": plan.gradients,
        "copies and activations": plan.copies + plan.activations,
        "logits": plan.logits,
        "peak": plan.total,
    }
    return {f"plan of {name}": size for name, size in terms.items()}


def merge(run: Run) -> dict[str, float]:
    """Merge the adapter by the command: its seconds, and how far the result agrees with base and adapter."""
    from kodolly.commands.merge_lora import command

    began, merged = time.monotonic(), run.folder / f"{run.method}-merged"
    command.main([str(run.folder / run.method), str(merged), "--prompts", "4"], standalone_mode=False)
    metrics = json.loads((merged / "kodolly.json").read_text(encoding="utf-8"))["metrics"]
    return {"merge seconds": time.monotonic() - began, "merge agreement": metrics["merge_argmax_agreement"]}


def run_trl(run: Run) -> dict[str, float]:
    """The same run as one would write it by hand with TRL."""
    import torch
    from datasets import Dataset  # type: ignore[import-untyped]
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
    from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]

    compute = torch.bfloat16 if run.on_gpu else torch.float32
    options: dict[str, Any] = {"dtype": compute if run.adapter else torch.float32}
    if run.method == "qlora":
        options["quantization_config"] = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=compute,
        )
    tokenizer = AutoTokenizer.from_pretrained(run.folder / "base")
    rows = prompts_and_completions(tokenizer, run.folder / "rows.jsonl", run.rows)
    adapter = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(run.folder / "base", **options),
        args=SFTConfig(
            output_dir=str(run.folder / "trl"),
            num_train_epochs=1,
            per_device_train_batch_size=run.shape.batch,
            learning_rate=RATE,
            weight_decay=0.0,
            max_length=2 * run.shape.tokens,
            bf16=run.on_gpu,
            use_cpu=not run.on_gpu,
            gradient_checkpointing=run.shape.checkpointing,
            dataloader_pin_memory=run.on_gpu,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=adapter if run.adapter else None,
    ).train()
    return {}


def child(arm: str, run: Run) -> None:
    """Print one run's figures, or why kodolly refuses it; `base` makes what all runs begin with."""
    if arm == "base":
        print("found " + json.dumps(make_base(run)))
        return
    # What is measured is what comes after the libraries.
    importlib.import_module("trl" if arm == "trl" else "finetune.train.run")
    from benchmarks.training_meter import CudaMeter, HostMeter, Readings, watched_trainer
    from common.errors import UserError

    readings = Readings(CudaMeter() if run.on_gpu else HostMeter())
    with watched_trainer(readings):
        try:
            figures = run_trl(run) if arm == "trl" else run_kodolly(run, readings)
        except UserError as refused:
            print("found " + json.dumps({"refused": str(refused)}))
            return
    figures |= readings.figures()
    if arm == "kodolly" and run.adapter:
        figures |= merge(run)
    print("found " + json.dumps(figures))


def measure(arm: str, run: Run, shape: str) -> dict[str, Any]:
    """One run in a process of its own."""
    argv = [sys.executable, __file__, "--child", arm, run.method, str(run.folder), "--shapes", shape]
    argv += ["--steps", str(run.steps), "--device", "cuda" if run.on_gpu else "cpu"]
    first = {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]}
    env = os.environ | SHARED_ENV | RETURNED_MEMORY | first
    done = subprocess.run(argv, capture_output=True, text=True, env=env)
    found = [line for line in done.stdout.splitlines() if line.startswith("found ")]
    if not found:
        print(f"{arm} {run.method} failed:\n{done.stderr[-3000:]}", file=sys.stderr)
        raise SystemExit(FAILED)
    figures: dict[str, Any] = json.loads(found[0].removeprefix("found "))
    return figures


def show(ours: dict[str, Any], trl: dict[str, Any]) -> list[str]:
    """Print the figures of one run; returns the aims that it misses."""
    speed, peak, plan = ours["tokens/s"] / trl["tokens/s"], ours["peak"], ours["plan of peak"]
    print(f"  tokens/s   {ours['tokens/s']:,.0f}; TRL {trl['tokens/s']:,.0f}; {speed:.2f} of TRL's")
    besides = f"plan {gigabytes(plan)}, {peak / plan - 1:+.0%}; TRL {gigabytes(trl['peak'])}"
    print(f"  peak       {gigabytes(peak)}; {besides}")
    for name, constants in CONSTANTS.items():
        planned = gigabytes(ours[f"plan of {name}"])
        print(f"    {name:22} {gigabytes(ours[name])}; plan {planned} ({constants})")
    for name in ("CUDA context", "fragmentation"):
        if name in ours:
            print(f"    {name:22} {gigabytes(ours[name])}; not in the plan")
    if "merge seconds" in ours:
        print(f"  merge      {ours['merge seconds']:.0f} s; {ours['merge agreement']:.1%} of tokens agree")
    missed = [f"{speed:.2f} of TRL's tokens/s"] if speed < SPEED_AIM else []
    if abs(peak / plan - 1) > MEMORY_AIM:
        missed.append(f"a peak {peak / plan - 1:+.0%} from the plan")
    return missed


def gigabytes(number: float) -> str:
    """A number of bytes for people."""
    return f"{number / 1e9:.3f} GB"


def all_runs(name: str, args: argparse.Namespace) -> list[str]:
    """Train and merge a shape by each method; returns the aims that were missed."""
    shape, missed = SHAPES[name], []
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for method in args.methods:
            run = Run(shape, method, Path(folder), args.steps, args.device == "cuda")
            if not (run.folder / "base").exists():
                print(f"{name} on {measure('base', run, name)['device']}", flush=True)
            print(f"{name} {method}, batches of {shape.batch} x {shape.tokens} tokens", flush=True)
            ours = measure("kodolly", run, name)
            if "refused" in ours:
                print(f"  left out: {ours['refused']}")
                continue
            missed += [f"{name} {method}: {each}" for each in show(ours, measure("trl", run, name))]
            sys.stdout.flush()
    return missed


def listed(text: str, known: Collection[str]) -> list[str]:
    """The names in `a,b`. Raises ArgumentTypeError for one that is not known."""
    names = text.split(",")
    if unknown := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: there are {', '.join(known)}")
    return names


def main() -> int:
    """Every shape and method; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    shapes, methods = (partial(listed, known=tuple(known)) for known in (SHAPES, METHODS))
    usual = "polyglot-ko-1.3b,qwen3-4b"
    parser.add_argument("--shapes", type=shapes, default=usual, help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--methods", type=methods, default=",".join(METHODS))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="where checkpoints are put meanwhile (40 GB)")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        print("There is no GPU that torch can use; --device cpu --shapes tiny tries the steps without one.")
        return NO_DEVICE
    if args.child:
        arm, method, folder = args.child
        child(arm, Run(SHAPES[args.shapes[0]], method, Path(folder), args.steps, args.device == "cuda"))
        return 0
    print(f"torch {torch.__version__}, {args.steps} steps", flush=True)
    missed = [each for name in args.shapes for each in all_runs(name, args)]
    for each in missed:
        print(f"missed: {each}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
