"""Preference training: TRL's trainers on pairs that our template has rendered and tokenised."""

from typing import Any

from datasets import Dataset  # type: ignore[import-untyped]
from transformers import Trainer, TrainingArguments
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from finetune.models.load import lora_config, no_word_about_experts
from finetune.recipes.recipe import PreferenceTuning
from finetune.train.batches import Data, Pairs, Rows
from finetune.train.loop import OrderedTrainer
from finetune.train.progress import callbacks
from finetune.train.session import Session


class PairTrainer(OrderedTrainer, DPOTrainer):
    """DPOTrainer over sequences that are made: no second rendering, no cutting at max_length."""

    def __init__(self, train: Data, validation: Data | None, **kwargs: Any) -> None:
        self.made = {"train": train, "eval": validation}
        # DPOTrainer asks for tables before it has them prepared, so it gets one of a single word.
        table = Dataset.from_list([{"prompt": ""}])
        super().__init__(train_dataset=table, eval_dataset=table if validation else None, **kwargs)

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:
        return self.made[dataset_name]

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """No README for the hub: the adapter says what it is in kodolly-adapter.json."""


class PairwisePreference:
    """A better answer against a worse one; the reference is the adapter switched off."""

    def __init__(self, recipe: PreferenceTuning) -> None:
        self.recipe = recipe

    def training_data(self, rows: Rows) -> Data:
        """Pairs."""
        return Pairs(rows)

    def validation_data(self, rows: Rows) -> Data:
        """Pairs."""
        return Pairs(rows)

    def arguments(self, values: dict[str, Any]) -> TrainingArguments:
        """DPOConfig."""
        return DPOConfig(**values, beta=self.recipe.dpo.beta, max_length=None)

    def trainer(
        self, session: Session, data: Data, validation: Data | None, args: TrainingArguments
    ) -> Trainer:
        """A fresh adapter on the session's model, which has none yet."""
        with no_word_about_experts():
            return PairTrainer(
                data,
                validation,
                model=session.model,
                args=args,
                processing_class=session.tokenizer,
                peft_config=lora_config(session.model, self.recipe.lora),
                callbacks=callbacks(session.recipe, session.report),
            )
