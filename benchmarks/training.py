"""Training speed of `kodolly train` beside a plain TRL script with the same settings; the docs quote it.

    python benchmarks/training.py [--methods lora,full] [--rounds 3] [--rows 160]

Makes a small GPT-NeoX with fresh weights, trains it on some of the bundled demo rows by turns with our code
and with TRL's SFTTrainer, each in a process of its own, and prints tokens/s of Trainer's loop (padding does
not count; loading and tokenising are outside), the loop's CPU seconds, which a busy machine disturbs less,
and seconds of the whole process. `trl sorted` is the same script with Trainer's own sorting by length, which
a user may or may not think of. Let nothing else run meanwhile.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

ROWS = Path(__file__).parents[1] / "finetune" / "demo" / "rows.jsonl"
ARCHITECTURE = {"layers": 4, "width": 384, "heads": 6, "vocabulary": 2048, "context": 1024}
ARMS = ("kodolly", "trl", "trl sorted")
BATCH = 8
RATES = {"lora": 1e-3, "full": 1e-4}
RANK, ALPHA = 16, 32
# What both sides share: threads that sleep while they wait, and nothing fetched.
SHARED_ENV = {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def make_base(directory: Path) -> None:
    """A checkpoint with fresh weights and a tokenizer of the demo's rows."""
    from finetune.data.load import load_rows
    from finetune.models.load import make_model
    from finetune.models.tokenizer import train_tokenizer
    from finetune.recipes.sections import Architecture
    from finetune.rows.row import to_messages

    architecture = Architecture.model_validate(ARCHITECTURE)
    texts = ["\n".join(str(turn["content"]) for turn in to_messages(row)) for row in load_rows(ROWS)]
    tokenizer = train_tokenizer(texts, architecture.vocabulary, architecture.context)
    make_model(architecture, tokenizer, seed=1).save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def run_kodolly(method: str, base: Path, output: Path, rows: int) -> dict[str, float]:
    """One run by the code of `kodolly train`; steps and loss."""
    from common.checkpoint import read_card
    from finetune.models.adapter import read_adapter
    from finetune.progress import silent
    from finetune.recipes.recipe import validate_recipe
    from finetune.train.run import train

    recipe = validate_recipe(
        {
            "name": "benchmark",
            "method": method,
            "base": str(base),
            "data": [{"path": some_rows(output.parent, rows)}],
            "licence": "Apache-2.0",
            "epochs": 1,
            "learning_rate": RATES[method],
            "schedule": "linear",
            "batch_size": BATCH,
            "lora": {"rank": RANK, "alpha": ALPHA},
            "checkpoint_every": "never",
            "smoke_test": False,
            "report_to": [],
            "dtype": "float32",
        }
    )
    train(recipe, output, silent)
    card = read_adapter(output).card if method == "lora" else read_card(output)
    assert card is not None
    return {name: float(card.metrics[name]) for name in ("steps", "loss")}


def run_trl(method: str, base: Path, output: Path, rows: int, *, by_length: bool) -> dict[str, float]:
    """The same run as one would write it by hand with TRL."""
    from datasets import Dataset  # type: ignore[import-untyped]
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]

    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype="float32")
    adapter = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(output),
            num_train_epochs=1,
            per_device_train_batch_size=BATCH,
            learning_rate=RATES[method],
            lr_scheduler_type="linear",
            warmup_steps=0.03,
            weight_decay=0.0,
            max_length=512,
            bf16=False,
            use_cpu=True,
            gradient_checkpointing=False,
            dataloader_pin_memory=False,
            train_sampling_strategy="group_by_length" if by_length else "random",
            save_strategy="no",
            logging_steps=10,
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(prompts_and_completions(tokenizer, ROWS, rows)),
        processing_class=tokenizer,
        peft_config=adapter if method == "lora" else None,
    )
    result = trainer.train()
    trainer.save_model()
    return {"steps": result.global_step, "loss": result.training_loss}


def some_rows(folder: Path, number: int) -> Path:
    """The first rows as a file of their own."""
    path = folder / "rows.jsonl"
    lines = ROWS.read_text(encoding="utf-8").splitlines()[:number]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def prompts_and_completions(tokenizer: Any, path: Path, number: int) -> list[dict[str, str]]:
    """The first rows in Dolly's prompt, as text."""
    from common.chat_template import load_template
    from finetune.data.load import load_rows
    from finetune.rows.row import to_messages

    tokenizer.chat_template = load_template("dolly")
    rows = []
    for row in load_rows(path)[:number]:
        *asked, answer = to_messages(row)
        prompt = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        rows.append({"prompt": prompt, "completion": answer["content"]})
    return rows


def tokens_of(base: Path, number: int) -> int:
    """Of prompts, answers and end tokens, as both sides train them."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = [f"{row['prompt']}{row['completion']}" for row in prompts_and_completions(tokenizer, ROWS, number)]
    return sum(len(ids) + 1 for ids in tokenizer(rows)["input_ids"])


def child(arm: str, method: str, base: Path, output: Path, rows: int) -> None:
    """Print one run's figures. Both sides go through Trainer.train, so that is where the clocks are."""
    from transformers import Trainer

    took: dict[str, float] = {}
    train = Trainer.train

    def timed(self: Any, *args: Any, **kwargs: Any) -> Any:
        wall, cpu = time.monotonic(), time.process_time()
        result = train(self, *args, **kwargs)
        took.update(seconds=time.monotonic() - wall, cpu_seconds=time.process_time() - cpu)
        return result

    Trainer.train = timed  # type: ignore[method-assign]
    if arm == "kodolly":
        figures = run_kodolly(method, base, output, rows)
    else:
        figures = run_trl(method, base, output, rows, by_length=arm == "trl sorted")
    print("figures " + json.dumps(figures | took))


def measure(arm: str, method: str, base: Path, rows: int) -> dict[str, Any]:
    """One run in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        argv = [sys.executable, __file__, "--child", arm, method, str(base), f"{folder}/out"]
        began = time.monotonic()
        done = subprocess.run(
            [*argv, "--rows", str(rows)],
            capture_output=True,
            text=True,
            env={**os.environ, **SHARED_ENV},
        )
        took = time.monotonic() - began
    found = [line for line in done.stdout.splitlines() if line.startswith("figures ")]
    if not found:
        raise SystemExit(f"{arm} failed:\n{done.stderr[-3000:]}")
    figures: dict[str, Any] = json.loads(found[0].removeprefix("figures "))
    return figures | {"whole_seconds": took}


def main() -> None:
    """Every method: the arms by turns, then medians and shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--methods", default="lora,full")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=160)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    if args.child:
        arm, method, base, output = args.child
        child(arm, method, Path(base), Path(output), args.rows)
        return
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        make_base(base)
        tokens = tokens_of(base, args.rows)
        print(f"{args.rows} rows, {tokens:,} tokens, batches of {BATCH}, {ARCHITECTURE}", flush=True)
        for method in args.methods.split(","):
            runs: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
            for number in range(args.rounds):
                # By turns, and each arm first once: a machine that slows down slows all of them.
                for arm in ARMS[number % len(ARMS) :] + ARMS[: number % len(ARMS)]:
                    runs[arm].append(measure(arm, method, base, args.rows))
            show(method, runs, tokens)


def show(method: str, runs: dict[str, list[dict[str, Any]]], tokens: int) -> None:
    """A line for each arm, then kodolly's shares of the others' speed."""

    def middle(arm: str, name: str) -> float:
        return float(median(run[name] for run in runs[arm]))

    for arm, found in runs.items():
        each = " ".join(f"{tokens / run['seconds']:,.0f}" for run in found)
        print(
            f"{method:5} {arm:11} {tokens / middle(arm, 'seconds'):7,.0f} tokens/s ({each}), "
            f"{middle(arm, 'cpu_seconds'):5.1f} CPU s, whole process {middle(arm, 'whole_seconds'):5.1f} s, "
            f"{found[0]['steps']:.0f} steps, loss {found[0]['loss']:.3f}"
        )
    for arm in ARMS[1:]:
        wall, cpu = (middle(arm, name) / middle("kodolly", name) for name in ("seconds", "cpu_seconds"))
        print(
            f"{method:5} kodolly has {wall:.2f} of the speed of {arm}; by CPU seconds {cpu:.2f}", flush=True
        )


if __name__ == "__main__":
    main()
