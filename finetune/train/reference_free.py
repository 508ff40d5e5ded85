"""ORPO and SimPO: preference training without a reference, by the formulas of the papers.

TRL has both only as experimental trainers, which render and truncate rows themselves. The losses are short,
so they are computed here, on the same sequences as for all other methods.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import logsigmoid
from transformers import TrainingArguments

from finetune.encoding.encode import IGNORED
from finetune.models.load import add_adapter
from finetune.recipes.recipe import OrpoTuning, SimpoTuning
from finetune.train.batches import PairPadder, TrainingData
from finetune.train.fused_loss import without_logits
from finetune.train.loop import OrderedTrainer
from finetune.train.on_pairs import OnPairs
from finetune.train.progress import callbacks
from finetune.train.session import TrainingSession

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(mean log probabilities of the better answers, of the worse answers) -> losses, all of shape (pairs,)."""


def odds_ratio_loss(better: torch.Tensor, worse: torch.Tensor, beta: float) -> torch.Tensor:
    """ORPO's loss (Hong et al. 2024) from mean log probabilities of shape (pairs,): cross-entropy of the
    better answer plus `beta` times the odds ratio term."""
    odds = (better - _log_of_rest(better)) - (worse - _log_of_rest(worse))
    return -better - beta * logsigmoid(odds)


def _log_of_rest(chance: torch.Tensor) -> torch.Tensor:
    """log(1 - exp(chance)), kept finite where the log probability `chance` is 0."""
    return torch.log1p(-torch.exp(chance.clamp(max=-1e-6)))


def margin_loss(
    better: torch.Tensor, worse: torch.Tensor, beta: float, gamma: float, sft: float
) -> torch.Tensor:
    """SimPO's loss (Meng et al. 2024) from mean log probabilities of shape (pairs,), plus `sft` times the
    cross-entropy of the better answer."""
    return -logsigmoid(beta * (better - worse) - gamma) - sft * better


class ReferenceFreeTrainer(OrderedTrainer):
    """Trainer over pairs with a loss of both answers' mean log probabilities."""

    def __init__(self, recipe: OrpoTuning | SimpoTuning, loss_of: Loss, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.recipe, self.loss_of = recipe, loss_of
        self.model_accepts_loss_kwargs = False  # so that Trainer divides the loss by the accumulation steps
        self.seen: dict[str, list[float]] = defaultdict(list)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor | Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        """The mean loss of a batch of pairs."""
        outputs = model(**inputs, **without_logits(self.recipe))
        learnt = inputs["labels"][:, 1:] != IGNORED
        better, worse = (outputs.log_probs.sum(dim=1) / learnt.sum(dim=1)).chunk(2)
        loss = self.loss_of(better, worse)
        if model.training:
            self.seen["rewards/accuracies"].append(float((better > worse).float().mean()))
            self.seen["rewards/margins"].append(float((better - worse).detach().mean()))
        return (loss.mean(), outputs) if return_outputs else loss.mean()

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add to the log the share of pairs in the right order, and the mean margin between their answers."""
        if "loss" in logs:
            logs |= {name: sum(values) / len(values) for name, values in self.seen.items() if values}
            self.seen.clear()
        super().log(logs, *args, **kwargs)


class WithoutReference(OnPairs):
    """The methods orpo and simpo."""

    def __init__(self, recipe: OrpoTuning | SimpoTuning) -> None:
        self.recipe = recipe

    def _loss(self, better: torch.Tensor, worse: torch.Tensor) -> torch.Tensor:
        if isinstance(self.recipe, OrpoTuning):
            return odds_ratio_loss(better, worse, self.recipe.orpo.beta)
        simpo = self.recipe.simpo
        return margin_loss(better, worse, simpo.beta, simpo.gamma, simpo.sft)

    def arguments(self, values: dict[str, Any], data: TrainingData) -> TrainingArguments:
        """Trainer's arguments, to which nothing is added."""
        return TrainingArguments(**values)

    def trainer(
        self,
        session: TrainingSession,
        data: TrainingData,
        validation: TrainingData | None,
        args: TrainingArguments,
    ) -> OrderedTrainer:
        """A ReferenceFreeTrainer, with a new adapter on the session's model, which has none yet."""
        model = add_adapter(session.model, self.recipe.lora)
        if self.recipe.gradient_checkpointing:
            model.enable_input_require_grads()  # type: ignore[no-untyped-call]
        return ReferenceFreeTrainer(
            self.recipe,
            self._loss,
            model=model,
            args=args,
            train_dataset=data,
            eval_dataset=validation,
            data_collator=PairPadder(session.tokenizer.pad_token_id),
            callbacks=callbacks(session.recipe, session.report),
        )
