"""DPO by TRL's trainer, on pairs that were rendered and tokenised before."""

from typing import Any

from datasets import Dataset  # type: ignore[import-untyped]
from transformers import TrainingArguments
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from finetune.models.load import lora_config, no_word_about_experts
from finetune.recipes.recipe import DpoTuning
from finetune.recipes.sections import Lora
from finetune.train.batches import TrainingData
from finetune.train.loop import OrderedTrainer
from finetune.train.on_pairs import OnPairs
from finetune.train.progress import callbacks
from finetune.train.session import TrainingSession


class MadeSequences(OrderedTrainer):
    """A TRL trainer on sequences that are encoded already: it neither renders nor truncates them. It puts a
    new adapter on the session's model, which has none yet; the reference is the base with the adapter
    switched off."""

    def __init__(
        self,
        session: TrainingSession,
        lora: Lora,
        train: TrainingData,
        validation: TrainingData | None,
        args: TrainingArguments,
    ) -> None:
        self.made = {"train": train, "eval": validation}
        # TRL requires a table of rows, so it gets one with an empty prompt, and uses our sequences after
        # that.
        table = Dataset.from_list([{"prompt": ""}])
        with no_word_about_experts():
            super().__init__(  # type: ignore[call-arg]  # of the TRL trainer that stands behind it
                model=session.model,
                args=args,
                train_dataset=table,
                eval_dataset=table if validation else None,
                processing_class=session.tokenizer,
                peft_config=lora_config(session.model, lora),
                callbacks=callbacks(session.recipe, session.report),
            )

    def _prepare_dataset(
        self, dataset: object, processing_class: object, args: object, dataset_name: str
    ) -> object:
        return self.made[dataset_name]

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no README for the hub: kodolly-adapter.json describes the adapter."""


class PairTrainer(MadeSequences, DPOTrainer):
    """TRL's DPOTrainer on encoded pairs."""


class AgainstReference(OnPairs):
    """The method dpo, with the base as the reference."""

    def __init__(self, recipe: DpoTuning) -> None:
        self.recipe = recipe

    def arguments(self, values: dict[str, Any], data: TrainingData) -> TrainingArguments:
        """TRL's DPOConfig."""
        dpo = self.recipe.dpo
        return DPOConfig(
            **values,
            beta=dpo.beta,
            max_length=None,
            loss_type=list(dpo.loss_type),
            loss_weights=list(dpo.loss_weights) if dpo.loss_weights is not None else None,
            label_smoothing=dpo.label_smoothing,
            ld_alpha=dpo.ld_alpha,
        )

    def trainer(
        self,
        session: TrainingSession,
        data: TrainingData,
        validation: TrainingData | None,
        args: TrainingArguments,
    ) -> OrderedTrainer:
        """A PairTrainer, which puts the adapter on the session's model."""
        return PairTrainer(session, self.recipe.lora, data, validation, args)
