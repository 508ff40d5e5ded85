"""The loop itself: transformers' Trainer over token ids that are already made.

The same loop serves pretraining, full fine-tuning and LoRA: they differ in the model that comes in.
"""

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from finetune.encoding import IGNORED, Example
from finetune.progress import Progress, Report
from finetune.recipe import Recipe


@dataclass(frozen=True)
class Outcome:
    """What a finished loop measured."""

    loss: float
    """Mean over the last epoch, nats per learnt token."""
    steps: int
    seconds: float


def run_loop(
    model: Any, examples: Sequence[Example], recipe: Recipe, pad_id: int, scratch: Path, report: Report
) -> Outcome:
    """Train `model` in place. `scratch` is a directory for the Trainer; it writes nothing into it."""
    watcher = _Watcher(f"{recipe.name}: training", recipe.epochs, report)
    with _quiet():
        trainer = Trainer(
            model=model,
            args=_arguments(recipe, scratch),
            train_dataset=[example.features() for example in examples],
            data_collator=_Padder(pad_id),
            callbacks=[watcher],
        )
        trainer.remove_callback(PrinterCallback)
        started = time.monotonic()
        trainer.train()
    return Outcome(watcher.epoch_loss, trainer.state.global_step, time.monotonic() - started)


def _arguments(recipe: Recipe, scratch: Path) -> TrainingArguments:
    on_gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(scratch),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=recipe.warmup,
        bf16=on_gpu and torch.cuda.is_bf16_supported(),
        # Rows of like length in one batch: less padding, and on CPU that is time.
        train_sampling_strategy="group_by_length",
        seed=recipe.seed,
        save_strategy="no",
        logging_strategy="epoch",
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        dataloader_pin_memory=on_gpu,
    )


class _Padder:
    """Pads a batch on the right to its longest row."""

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id

    def __call__(self, rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        width = max(len(row["input_ids"]) for row in rows)

        def padded(name: str, fill: int) -> torch.Tensor:
            return torch.tensor([row[name] + [fill] * (width - len(row[name])) for row in rows])

        mask = [[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows]
        return {
            "input_ids": padded("input_ids", self.pad_id),
            "labels": padded("labels", IGNORED),
            "attention_mask": torch.tensor(mask),
        }


class _Watcher(TrainerCallback):
    """Turns Trainer's events into progress, and keeps the last epoch's loss."""

    def __init__(self, stage: str, epochs: int, report: Report) -> None:
        self.stage, self.epochs, self.report = stage, epochs, report
        self.epoch_loss = float("nan")
        self.started = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.started = time.monotonic()
        self.report(Progress(self.stage, 0.0, f"{state.max_steps} steps"))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        self.epoch_loss = (logs or {}).get("loss", self.epoch_loss)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        done = state.global_step / state.max_steps
        epoch = min(self.epochs, int(state.epoch or 0) + 1)
        loss = "" if self.epoch_loss != self.epoch_loss else f", loss {self.epoch_loss:.3f}"
        left = (time.monotonic() - self.started) * (1 - done) / done
        self.report(Progress(self.stage, done, f"epoch {epoch}/{self.epochs}{loss}", left))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Trainer logs its set-up at warning level; none of it is for the person at the terminal."""
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)
