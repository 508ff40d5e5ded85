"""The arguments of transformers' Trainer."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from finetune.models.precision import Precision
from finetune.recipes.keys import CommonKeys
from finetune.train.distributed import sharded, world_size
from finetune.train.run_state import RunState

if TYPE_CHECKING:
    from transformers import TrainingArguments

LOGS_PER_RUN = 200
"""About how often the loss is read in a run: each reading waits for the device."""


def steps_in_run(recipe: CommonKeys, sequences: int) -> tuple[int, int]:
    """(optimiser steps in an epoch, optimiser steps in the run), as Trainer counts them."""
    batches = math.ceil(sequences / (recipe.batch_size * world_size()))
    an_epoch = math.ceil(batches / recipe.gradient_accumulation)
    return an_epoch, recipe.max_steps or an_epoch * recipe.epochs


def arguments(
    recipe: CommonKeys, sequences: int, state: RunState, logs: Path, precision: Precision
) -> dict[str, object]:
    """The values of TrainingArguments, and of TRL's configurations, which extend it.

    sequences: number of training sequences. logs: directory for TensorBoard.
    """
    if "tensorboard" in recipe.report_to:
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(logs)
    if sharded() and recipe.has_adapter:
        # accelerate cannot load a sharded state of an adapter (FSDP), and an adapter is small enough to be
        # whole.
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
        **_checkpoints(recipe),
        **_logs(recipe, sequences),
        "remove_unused_columns": False,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "ddp_find_unused_parameters": False,
    }


def on_one_device(args: "TrainingArguments") -> None:
    """Keep a run that was started as one process on one GPU: by itself transformers would copy the model to
    all GPUs of the machine in every step (nn.DataParallel), and take as many times the recipe's batches."""
    args._n_gpu = min(args.n_gpu, 1)


def _logs(recipe: CommonKeys, sequences: int) -> dict[str, object]:
    _, steps = steps_in_run(recipe, sequences)
    return {
        "logging_strategy": "steps",
        "logging_steps": max(1, steps // LOGS_PER_RUN),
        "logging_nan_inf_filter": False,
        "report_to": list(recipe.report_to) or "none",
        "run_name": recipe.name,
        "disable_tqdm": True,
        "log_level": "error",
        "log_level_replica": "error",
    }


def _checkpoints(recipe: CommonKeys) -> dict[str, object]:
    """When training states are saved and the validation loss is measured."""
    every = recipe.checkpoint_every
    when = {"epoch": "epoch", "never": "no"}.get(str(every), "steps")
    validated = recipe.validation is not None
    return {
        "save_strategy": when,
        "save_steps": every if isinstance(every, int) else 500,
        "save_total_limit": 2,
        "eval_strategy": when if validated else "no",
        "eval_steps": every if isinstance(every, int) else None,
        "load_best_model_at_end": validated,
        "metric_for_best_model": "eval_loss" if validated else None,
        "greater_is_better": False if validated else None,
        "restore_callback_states_from_checkpoint": True,
    }
