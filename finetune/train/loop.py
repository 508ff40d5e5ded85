"""The training loop: transformers' Trainer over rows that are encoded already.

finetune/train/method.py decides on the data set and on the loss in place of Trainer's own.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback

from common.errors import UserError, first_line
from finetune.train.batches import FixedOrder, StepSampler
from finetune.train.distributed import rank, wait_for_all
from finetune.train.run_state import COMPLETE, RunState

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class LoopResult:
    """What a finished training loop measured."""

    loss: float
    """Mean of the loss over the last epoch: nats per learnt token, or the preference method's own loss."""
    steps: int
    seconds: float
    history: tuple[dict[str, float], ...]
    """Entries of Trainer's log: `step` with `loss`, `grad_norm` and `learning_rate`, or with `eval_loss`."""
    validation_loss: float | None = None
    """The validation loss of the weights that are kept; None without validation."""
    best_step: int | None = None


class WholeStates(Trainer):
    """Trainer whose training states are complete or not there."""

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        directory = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
        # Trainer notes a state as the best only where its directory exists. Without this wait one process
        # could look before another has made it, and at the end some would wait for others to load the best
        # state.
        directory.mkdir(parents=True, exist_ok=True)
        wait_for_all()
        super()._save_checkpoint(model, trial)
        wait_for_all()
        if rank() == 0:
            (directory / COMPLETE).touch()


class OrderedTrainer(WholeStates):
    """Trainer with an order that resumed runs and several processes share."""

    def _get_train_sampler(self, train_dataset: Any = None) -> StepSampler | FixedOrder:
        per_step = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        data: Any = train_dataset if train_dataset is not None else self.train_dataset
        self.sampler: StepSampler | FixedOrder = StepSampler(data.lengths, per_step, self.args.seed)
        return self.sampler

    lora_plus: float | None = None
    """Learning rate of the adapter's output-side matrices (B) as a multiple of the others'."""

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """Trainer's own optimiser, with a higher learning rate for B (LoRA+)."""
        optimizer: torch.optim.Optimizer = super().create_optimizer(*args, **kwargs)
        if self.lora_plus is not None and self.model is not None:
            _raise_rate_of_b(optimizer, self.model, self.lora_plus)
        return optimizer

    def _run_epoch(self, model: "PreTrainedModel", epoch: int, *args: Any, **kwargs: Any) -> Any:
        self.sampler.set_epoch(epoch)  # accelerate's wrapper does not forward it after a resume
        return super()._run_epoch(model, epoch, *args, **kwargs)  # type: ignore[no-untyped-call]


def _raise_rate_of_b(optimizer: torch.optim.Optimizer, model: torch.nn.Module, factor: float) -> None:
    ids = {id(weight) for name, weight in model.named_parameters() if "lora_B" in name}
    for group in list(optimizer.param_groups):
        raised = [weight for weight in group["params"] if id(weight) in ids]
        group["params"] = [weight for weight in group["params"] if id(weight) not in ids]
        if raised:
            optimizer.add_param_group({**group, "params": raised, "lr": group["lr"] * factor})


def drive(trainer: Trainer, state: RunState) -> LoopResult:
    """Run a Trainer to its end, from the saved state if there is one. Raises UserError for failures that the
    user can do something about."""
    trainer.remove_callback(PrinterCallback)
    started = time.monotonic()
    try:
        trainer.train(resume_from_checkpoint=str(state.checkpoint) if state.checkpoint else None)
    except torch.cuda.OutOfMemoryError as error:
        raise UserError(
            f"The GPU ran out of memory: {first_line(error)}",
            hint="Halve batch_size and double gradient_accumulation, or set gradient_checkpointing: true.",
        ) from error
    log = tuple(trainer.state.log_history)
    losses = [entry for entry in log if "loss" in entry]
    if any(not math.isfinite(entry["loss"]) for entry in losses):
        raise UserError("The loss became infinite or not a number.", hint="Lower learning_rate.")
    last = losses[-1]["epoch"] - 1 if losses else 0
    ending = [entry["loss"] for entry in losses if entry["epoch"] > last]
    return LoopResult(
        loss=sum(ending) / len(ending) if ending else float("nan"),
        steps=trainer.state.global_step,
        seconds=time.monotonic() - started,
        history=log,
        validation_loss=trainer.state.best_metric,
        best_step=trainer.state.best_global_step,
    )


def packs_flat(model: "PreTrainedModel") -> bool:
    """Whether a whole batch is packed into one row, as FlashAttention's variable-length kernels take it."""
    return str(getattr(model.config, "_attn_implementation", "")).startswith("flash_attention")
