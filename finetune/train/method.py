"""What differs between methods once rows are token ids: the data set, Trainer's arguments, and the loss."""

from typing import Any, Protocol

from transformers import Trainer, TrainingArguments

from finetune.recipes.recipe import AnswersAndText, PreferenceTuning, Recipe
from finetune.train.batches import Data, Packed, Padder, Rows, Sequences
from finetune.train.loop import OrderedTrainer, packs_flat
from finetune.train.progress import callbacks
from finetune.train.session import Session


class Method(Protocol):
    """One way of learning."""

    def training_data(self, rows: Rows) -> Data:
        """The rows as the loss takes them."""

    def validation_data(self, rows: Rows) -> Data:
        """The same for rows that are held out."""

    def arguments(self, values: dict[str, Any]) -> TrainingArguments:
        """Trainer's arguments of `finetune.train.arguments`, with what the loss adds."""

    def trainer(
        self, session: Session, data: Data, validation: Data | None, args: TrainingArguments
    ) -> Trainer:
        """The Trainer, ready to run. Raises UserError."""


class NextToken:
    """The loss over answers and text: pretraining, full tuning, LoRA and QLoRA differ in their model only."""

    def __init__(self, recipe: AnswersAndText) -> None:
        self.packed_to = recipe.max_length if recipe.packing else None

    def training_data(self, rows: Rows) -> Data:
        """Rows, packed where the recipe says so."""
        return Packed(rows, self.packed_to) if self.packed_to else Sequences(rows)

    def validation_data(self, rows: Rows) -> Data:
        """Rows, each by itself."""
        return Sequences(rows)

    def arguments(self, values: dict[str, Any]) -> TrainingArguments:
        """Nothing is added."""
        return TrainingArguments(**values)

    def trainer(
        self, session: Session, data: Data, validation: Data | None, args: TrainingArguments
    ) -> Trainer:
        """transformers' Trainer in our order."""
        return OrderedTrainer(
            model=session.model,
            args=args,
            train_dataset=data,
            eval_dataset=validation,
            data_collator=Padder(session.tokenizer.pad_token_id, flat=packs_flat(session.model)),
            callbacks=callbacks(session.recipe, session.report),
        )


def method_of(recipe: Recipe) -> Method:
    """The method that `recipe` names; TRL loads only for preferences."""
    if isinstance(recipe, PreferenceTuning):
        from finetune.train.preferences import PairwisePreference

        return PairwisePreference(recipe)
    return NextToken(recipe)
