"""KTO by TRL's trainer, on single answers that are good or bad."""

from typing import Any

from transformers import TrainingArguments
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import KTOTrainer

from common.errors import UserError
from finetune.recipes.recipe import LabelledTuning
from finetune.train.against_reference import MadeSequences
from finetune.train.batches import ChosenSequences, FixedOrder, LabelledData, TrainingData
from finetune.train.labels import labels_of
from finetune.train.loop import OrderedTrainer
from finetune.train.method import FilesOfRows
from finetune.train.preflight import Fact
from finetune.train.session import TrainingSession


class LabelledTrainer(MadeSequences, KTOTrainer):
    """TRL's KTOTrainer in the data set's order, on which each row's neighbour in its batch depends."""

    def _get_train_sampler(self, train_dataset: Any = None) -> FixedOrder:
        data: Any = train_dataset if train_dataset is not None else self.train_dataset
        self.sampler = FixedOrder(len(data))
        return self.sampler


class LabelledAnswers:
    """The method kto: good answers become likelier and bad ones less likely than with the adapter switched
    off."""

    def __init__(self, recipe: LabelledTuning) -> None:
        self.recipe = recipe

    def training_data(self, rows: ChosenSequences, sources: FilesOfRows) -> TrainingData:
        """The rows with their labels, shuffled once by the recipe's seed. Raises UserError for a row without
        one."""
        return LabelledData(rows, labels_of(rows, sources), self.recipe.batch_size, self.recipe.seed)

    def validation_data(self, rows: ChosenSequences, sources: FilesOfRows) -> TrainingData:
        """`training_data` for rows that are held out. Raises UserError."""
        return self.training_data(rows, sources)

    def facts(self, data: TrainingData) -> list[Fact]:
        """The numbers of good and bad answers with their weights. Raises UserError unless there are both."""
        good, bad = _counts(data)
        if not good or not bad:
            kind = "good" if good else "bad"
            raise UserError(
                f"All {good or bad} rows are {kind} answers (meta.label); method kto needs both kinds.",
                hint="Good answers alone are for method lora.",
            )
        desirable, undesirable = self._weights(good, bad)
        shown = f"{good:,} good answers of weight {desirable:.3g}, {bad:,} bad ones of {undesirable:.3g}"
        return [Fact("labels", shown)]

    def arguments(self, values: dict[str, Any], data: TrainingData) -> TrainingArguments:
        """TRL's KTOConfig."""
        desirable, undesirable = self._weights(*_counts(data))
        return KTOConfig(
            **values,
            beta=self.recipe.kto.beta,
            loss_type=self.recipe.kto.loss_type,
            desirable_weight=desirable,
            undesirable_weight=undesirable,
            max_length=None,
        )

    def trainer(
        self,
        session: TrainingSession,
        data: TrainingData,
        validation: TrainingData | None,
        args: TrainingArguments,
    ) -> OrderedTrainer:
        """A LabelledTrainer, which puts the adapter on the session's model."""
        return LabelledTrainer(session, self.recipe.lora, data, validation, args)

    def _weights(self, good: int, bad: int) -> tuple[float, float]:
        """(weight of good answers, weight of bad answers). The paper (Ethayarajh et al. 2024) recommends
        total weights between 1:1 and 4:3. So the rarer kind gets more weight, until both totals are equal,
        unless the recipe sets the weights."""
        asked = self.recipe.kto
        if asked.desirable_weight is None and asked.undesirable_weight is None:
            return max(1.0, bad / good), max(1.0, good / bad)
        return asked.desirable_weight or 1.0, asked.undesirable_weight or 1.0


def _counts(data: TrainingData) -> tuple[int, int]:
    if not isinstance(data, LabelledData):
        raise TypeError("rows without labels")
    good = int(data.labels.sum())
    return good, len(data) - good
