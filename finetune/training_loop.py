"""The loop itself: transformers' Trainer over token ids that are already made.

The same loop serves pretraining, full fine-tuning, LoRA and QLoRA: they differ in the model that comes in.
finetune/dpo.py puts TRL's loss in its place.
"""

import contextlib
import logging
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback

from common.errors import UserError
from finetune.batches import Packed, Padder, Pairs, Sequences, StepSampler
from finetune.precision import Precision
from finetune.processes import rank, sharded, wait_for_all, world_size
from finetune.progress import Progress, Report
from finetune.recipe import Recipe
from finetune.run_state import COMPLETE, RunState

LOGS_PER_RUN = 200
"""A loss is read off the device about so often; a reading waits for the device."""

Data = Sequences | Packed | Pairs


@dataclass(frozen=True)
class Outcome:
    """What a finished loop measured."""

    loss: float
    """Mean over the last epoch, nats per learnt token (dpo: its own loss)."""
    steps: int
    seconds: float
    history: tuple[dict[str, float], ...]
    """Trainer's log: `step` with `loss`, `grad_norm` and `learning_rate`, or with `eval_loss`."""
    validation_loss: float | None = None
    """Of the weights that are kept."""
    best_step: int | None = None


class OrderedTrainer(Trainer):
    """Trainer with an order that a killed run and several processes share, and states that are whole."""

    def _get_train_sampler(self, train_dataset: Any = None) -> StepSampler:
        per_step = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        data: Any = train_dataset if train_dataset is not None else self.train_dataset
        self.sampler = StepSampler(data.lengths, per_step, self.args.seed)
        return self.sampler

    def _run_epoch(self, model: Any, epoch: int, *args: Any, **kwargs: Any) -> Any:
        self.sampler.set_epoch(epoch)  # accelerate's wrappers do not pass it through after a resume
        return super()._run_epoch(model, epoch, *args, **kwargs)  # type: ignore[no-untyped-call]

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        directory = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
        # Trainer takes a state for the best only where it sees its directory, which one process has made
        # while another looks already; then one would wait in the end for others to load it.
        directory.mkdir(parents=True, exist_ok=True)
        wait_for_all()
        super()._save_checkpoint(model, trial)
        wait_for_all()
        if rank() == 0:
            (directory / COMPLETE).touch()


def run_loop(
    model: Any,
    train: Data,
    validation: Data | None,
    recipe: Recipe,
    args: TrainingArguments,
    pad_id: int,
    state: RunState,
    report: Report,
) -> tuple[Outcome, Trainer]:
    """Train `model` in place, from `state.checkpoint` on if there is one. Raises UserError."""
    trainer = OrderedTrainer(
        model=model,
        args=args,
        train_dataset=train,
        eval_dataset=validation,
        data_collator=Padder(pad_id, flat=packs_flat(model)),
        callbacks=callbacks(recipe, report),
    )
    return drive(trainer, state)


def drive(trainer: Trainer, state: RunState) -> tuple[Outcome, Trainer]:
    """Run a Trainer to its end. Raises UserError for what a person can change."""
    trainer.remove_callback(PrinterCallback)
    started = time.monotonic()
    try:
        trainer.train(resume_from_checkpoint=str(state.checkpoint) if state.checkpoint else None)
    except torch.cuda.OutOfMemoryError as error:
        raise UserError(
            f"The GPU ran out of memory: {str(error).splitlines()[0]}",
            hint="Halve batch_size and double gradient_accumulation, or set gradient_checkpointing: true.",
        ) from error
    log = tuple(trainer.state.log_history)
    losses = [entry for entry in log if "loss" in entry]
    if any(not math.isfinite(entry["loss"]) for entry in losses):
        raise UserError("The loss became infinite or not a number.", hint="Lower learning_rate.")
    last = losses[-1]["epoch"] - 1 if losses else 0
    ending = [entry["loss"] for entry in losses if entry["epoch"] > last]
    outcome = Outcome(
        loss=sum(ending) / len(ending) if ending else float("nan"),
        steps=trainer.state.global_step,
        seconds=time.monotonic() - started,
        history=log,
        validation_loss=trainer.state.best_metric,
        best_step=trainer.state.best_global_step,
    )
    return outcome, trainer


def steps_in_run(recipe: Recipe, sequences: int) -> tuple[int, int]:
    """(optimiser steps in an epoch, in the run), as Trainer counts them."""
    batches = math.ceil(sequences / (recipe.batch_size * world_size()))
    an_epoch = math.ceil(batches / recipe.gradient_accumulation)
    return an_epoch, recipe.max_steps or an_epoch * recipe.epochs


def arguments(
    recipe: Recipe, sequences: int, state: RunState, logs: Path, precision: Precision
) -> dict[str, Any]:
    """TrainingArguments' values, which DPOConfig takes too."""
    _, steps = steps_in_run(recipe, sequences)
    every = recipe.checkpoint_every
    when = {"epoch": "epoch", "never": "no"}.get(str(every), "steps")
    if "tensorboard" in recipe.report_to:
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(logs)
    if sharded() and recipe.has_adapter:
        # An adapter is small, so its states are whole; accelerate cannot load one in parts back (FSDP).
        os.environ["FSDP_STATE_DICT_TYPE"] = "FULL_STATE_DICT"
    return {
        "output_dir": str(state.directory),
        "num_train_epochs": recipe.epochs,
        "max_steps": recipe.max_steps or -1,
        "per_device_train_batch_size": recipe.batch_size,
        "per_device_eval_batch_size": recipe.batch_size,
        "gradient_accumulation_steps": recipe.gradient_accumulation,
        "gradient_checkpointing": recipe.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if recipe.gradient_checkpointing else None,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.schedule,
        "warmup_steps": recipe.warmup,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "use_cpu": not torch.accelerator.is_available(),
        "bf16": precision.compute == torch.bfloat16,
        "fp16": precision.compute == torch.float16,
        "seed": recipe.seed,
        "save_strategy": when,
        "save_steps": every if isinstance(every, int) else 500,
        "save_total_limit": 2,
        "eval_strategy": when if recipe.validation is not None else "no",
        "eval_steps": every if isinstance(every, int) else None,
        "load_best_model_at_end": recipe.validation is not None,
        "metric_for_best_model": "eval_loss" if recipe.validation is not None else None,
        "greater_is_better": False if recipe.validation is not None else None,
        "restore_callback_states_from_checkpoint": True,
        "logging_strategy": "steps",
        "logging_steps": max(1, steps // LOGS_PER_RUN),
        "logging_nan_inf_filter": False,
        "report_to": list(recipe.report_to) or "none",
        "run_name": recipe.name,
        "disable_tqdm": True,
        "log_level": "error",
        "log_level_replica": "error",
        "remove_unused_columns": False,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "ddp_find_unused_parameters": False,
    }


def callbacks(recipe: Recipe, report: Report) -> list[TrainerCallback]:
    """Progress, and the end of a run that gets no better."""
    watcher = Watcher(f"{recipe.name}: training", report)
    if recipe.early_stopping is None:
        return [watcher]
    return [watcher, EarlyStoppingCallback(early_stopping_patience=recipe.early_stopping)]


def packs_flat(model: Any) -> bool:
    """Whether rows are laid end to end over a whole batch, as FlashAttention's variable lengths want it."""
    return str(getattr(model.config, "_attn_implementation", "")).startswith("flash_attention")


class Watcher(TrainerCallback):
    """Turns Trainer's events into progress."""

    def __init__(self, stage: str, report: Report) -> None:
        self.stage, self.report = stage, report
        self.figures: dict[str, float] = {}
        self.started, self.first_step = 0.0, 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.started, self.first_step = time.monotonic(), state.global_step
        resumed = f", going on after step {state.global_step}" if state.global_step else ""
        self.report(
            Progress(self.stage, state.global_step / state.max_steps, f"{state.max_steps} steps{resumed}")
        )

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        known = {
            "loss": "loss",
            "eval_loss": "validation",
            "rewards/accuracies": "right",
            "rewards/margins": "margin",
        }
        self.figures |= {known[name]: value for name, value in (logs or {}).items() if name in known}

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        done = state.global_step / state.max_steps
        epochs = math.ceil(state.num_train_epochs)
        epoch = min(epochs, int(state.epoch or 0) + 1)
        shown = "".join(f", {name} {value:.3f}" for name, value in self.figures.items())
        a_step = (time.monotonic() - self.started) / (state.global_step - self.first_step)
        left = a_step * (state.max_steps - state.global_step)
        self.report(Progress(self.stage, done, f"epoch {epoch}/{epochs}{shown}", left))


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Trainer logs its set-up at warning level; none of it is for the person at the terminal."""
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)
