"""What differs between methods once rows are token ids: the data set, Trainer's arguments, and the loss."""

from collections.abc import Sequence
from typing import Any, Protocol

from transformers import TrainingArguments

from finetune.recipes.keys import AnswersAndText
from finetune.recipes.recipe import DpoTuning, LabelledTuning, OrpoTuning, Recipe, SimpoTuning
from finetune.recipes.sections import Source
from finetune.train.batches import ChosenSequences, Packed, Padder, Sequences, TrainingData
from finetune.train.loop import OrderedTrainer, packs_flat
from finetune.train.preflight import Fact
from finetune.train.progress import callbacks
from finetune.train.session import TrainingSession

FilesOfRows = Sequence[Source | None]
"""Of each token store of the rows the file; None for plain text."""


class Method(Protocol):
    """One way of learning."""

    def training_data(self, rows: ChosenSequences, sources: FilesOfRows) -> TrainingData:
        """The rows as the loss takes them. Raises UserError."""

    def validation_data(self, rows: ChosenSequences, sources: FilesOfRows) -> TrainingData:
        """The same for rows that are held out."""

    def facts(self, data: TrainingData) -> list[Fact]:
        """What the pre-flight shows of the data. Raises UserError where the loss has no use for it."""

    def arguments(self, values: dict[str, Any], data: TrainingData) -> TrainingArguments:
        """Trainer's arguments of `finetune.train.arguments`, with what the loss adds."""

    def trainer(
        self,
        session: TrainingSession,
        data: TrainingData,
        validation: TrainingData | None,
        args: TrainingArguments,
    ) -> OrderedTrainer:
        """The Trainer, ready to run. Raises UserError."""


class NextToken:
    """The loss over answers and text: pretraining, full tuning, LoRA and QLoRA differ in their model only."""

    def __init__(self, recipe: AnswersAndText) -> None:
        self.packed_to = recipe.max_length if recipe.packing else None
        self.noise = recipe.neftune

    def training_data(self, rows: ChosenSequences, sources: FilesOfRows) -> TrainingData:
        """Rows, packed where the recipe says so."""
        return Packed(rows, self.packed_to) if self.packed_to else Sequences(rows)

    def validation_data(self, rows: ChosenSequences, sources: FilesOfRows) -> TrainingData:
        """Rows, each by itself."""
        return Sequences(rows)

    def facts(self, data: TrainingData) -> list[Fact]:
        """None: the pre-flight counts rows and tokens for every method."""
        return []

    def arguments(self, values: dict[str, Any], data: TrainingData) -> TrainingArguments:
        """NEFTune's noise is added where the recipe wants it."""
        return TrainingArguments(**values, neftune_noise_alpha=self.noise)

    def trainer(
        self,
        session: TrainingSession,
        data: TrainingData,
        validation: TrainingData | None,
        args: TrainingArguments,
    ) -> OrderedTrainer:
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
    """The method that `recipe` names; TRL loads only where its losses are used."""
    if isinstance(recipe, LabelledTuning):
        from finetune.train.labelled import LabelledAnswers

        return LabelledAnswers(recipe)
    if isinstance(recipe, DpoTuning):
        from finetune.train.against_reference import AgainstReference

        return AgainstReference(recipe)
    if isinstance(recipe, OrpoTuning | SimpoTuning):
        from finetune.train.reference_free import WithoutReference

        return WithoutReference(recipe)
    return NextToken(recipe)
