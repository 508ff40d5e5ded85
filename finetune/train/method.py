"""What differs between methods once rows are encoded: the data set, Trainer's arguments, and the loss."""

from collections.abc import Sequence
from typing import Any, Protocol

from transformers import TrainingArguments

from finetune.models.loss_kernels import loss_kernel_alone
from finetune.recipes.keys import AnswersAndText
from finetune.recipes.recipe import DpoTuning, LabelledTuning, OrpoTuning, Recipe, SimpoTuning
from finetune.recipes.sections import Source
from finetune.train.batches import ChosenSequences, Packed, Padder, Sequences, TrainingData
from finetune.train.loop import OrderedTrainer, packs_flat
from finetune.train.preflight import Fact
from finetune.train.progress import callbacks
from finetune.train.session import TrainingSession

FilesOfRows = Sequence[Source | None]
"""For each token store of the training sequences the file that it was encoded from; None for plain text."""


class Method(Protocol):
    """A training method."""

    def training_data(self, rows: ChosenSequences, sources: FilesOfRows) -> TrainingData:
        """The data set that the loss takes. Raises UserError."""

    def validation_data(self, rows: ChosenSequences, sources: FilesOfRows) -> TrainingData:
        """The data set for rows that are held out. Raises UserError."""

    def facts(self, data: TrainingData) -> list[Fact]:
        """What the pre-flight shows about the data. Raises UserError for data that the loss cannot use."""

    def arguments(self, values: dict[str, Any], data: TrainingData) -> TrainingArguments:
        """Trainer's arguments: `values`, from finetune.train.arguments, with what the loss adds."""

    def trainer(
        self,
        session: TrainingSession,
        data: TrainingData,
        validation: TrainingData | None,
        args: TrainingArguments,
    ) -> OrderedTrainer:
        """A Trainer that is ready to run. Raises UserError."""


class NextToken:
    """Cross-entropy of the next token, for pretrain, full, lora and qlora, which differ only in their
    model."""

    def __init__(self, recipe: AnswersAndText) -> None:
        self.packed_to = recipe.max_length if recipe.packing else None
        self.noise = recipe.neftune
        self.by_liger = recipe.fused_loss == "Liger"

    def training_data(self, rows: ChosenSequences, sources: FilesOfRows) -> TrainingData:
        """The sequences, packed where the recipe says so."""
        return Packed(rows, self.packed_to) if self.packed_to else Sequences(rows)

    def validation_data(self, rows: ChosenSequences, sources: FilesOfRows) -> TrainingData:
        """The sequences, one per item, whether or not training packs them."""
        return Sequences(rows)

    def facts(self, data: TrainingData) -> list[Fact]:
        """No facts of its own: the pre-flight counts rows and tokens for every method."""
        return []

    def arguments(self, values: dict[str, Any], data: TrainingData) -> TrainingArguments:
        """Trainer's arguments, with NEFTune's noise and Liger's loss where the recipe asks for them."""
        kernels = loss_kernel_alone() if self.by_liger else None
        return TrainingArguments(
            **values,
            neftune_noise_alpha=self.noise,
            use_liger_kernel=self.by_liger,
            liger_kernel_config=kernels,
        )

    def trainer(
        self,
        session: TrainingSession,
        data: TrainingData,
        validation: TrainingData | None,
        args: TrainingArguments,
    ) -> OrderedTrainer:
        """An OrderedTrainer with the loss of transformers' Trainer."""
        return OrderedTrainer(
            model=session.model,
            args=args,
            train_dataset=data,
            eval_dataset=validation,
            data_collator=Padder(session.tokenizer.pad_token_id, flat=packs_flat(session.model)),
            callbacks=callbacks(session.recipe, session.report),
        )


def method_of(recipe: Recipe) -> Method:
    """The method that `recipe` names. TRL is imported only for methods that use its losses."""
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
