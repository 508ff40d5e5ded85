"""Progress of a run while it trains."""

import math
import time
from typing import Any

from transformers import (
    EarlyStoppingCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from finetune.progress import Progress, Report
from finetune.recipes.keys import CommonKeys


def callbacks(recipe: CommonKeys, report: Report) -> list[TrainerCallback]:
    """Trainer's callbacks: progress, and early stopping where the recipe asks for it."""
    watcher = Watcher(f"{recipe.name}: training", report)
    if recipe.early_stopping is None:
        return [watcher]
    return [watcher, EarlyStoppingCallback(early_stopping_patience=recipe.early_stopping)]


class Watcher(TrainerCallback):
    """Reports Trainer's events as progress."""

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
            "kl": "distance",
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
        over = state.global_step >= state.max_steps
        self.report(Progress(self.stage, done, f"epoch {epoch}/{epochs}{shown}", left, over))
