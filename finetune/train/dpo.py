"""Preference training: TRL's DPOTrainer on pairs that our template has rendered and tokenised."""

from typing import Any

from datasets import Dataset  # type: ignore[import-untyped]
from transformers import Trainer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from finetune.models.load import lora_config, no_word_about_experts
from finetune.progress import Report
from finetune.recipes.recipe import Recipe
from finetune.train.batches import Pairs
from finetune.train.loop import OrderedTrainer, Outcome, drive
from finetune.train.progress import callbacks
from finetune.train.run_state import RunState


class PairTrainer(OrderedTrainer, DPOTrainer):
    """DPOTrainer over sequences that are made: no second rendering, no cutting at max_length."""

    def __init__(self, train: Pairs, validation: Pairs | None, **kwargs: Any) -> None:
        self.made = {"train": train, "eval": validation}
        # DPOTrainer asks for tables before it has them prepared, so it gets one of a single word.
        table = Dataset.from_list([{"prompt": ""}])
        super().__init__(train_dataset=table, eval_dataset=table if validation else None, **kwargs)

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:
        return self.made[dataset_name]

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """No README for the hub: the adapter says what it is in kodolly-adapter.json."""


def dpo_arguments(values: dict[str, Any], recipe: Recipe) -> DPOConfig:
    """Trainer's arguments (training_loop.arguments) with what DPO adds."""
    return DPOConfig(**values, beta=recipe.dpo.beta, max_length=None)


def run_dpo(
    model: Any,
    train: Pairs,
    validation: Pairs | None,
    recipe: Recipe,
    args: DPOConfig,
    tokenizer: Any,
    state: RunState,
    report: Report,
) -> tuple[Outcome, Trainer]:
    """Train a fresh adapter on `model` (which has none yet); the reference is the adapter switched off.

    Raises UserError.
    """
    with no_word_about_experts():
        trainer = PairTrainer(
            train,
            validation,
            model=model,
            args=args,
            processing_class=tokenizer,
            peft_config=lora_config(model, recipe.lora),
            callbacks=callbacks(recipe, report),
        )
    return drive(trainer, state)
