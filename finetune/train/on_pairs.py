"""What all losses on preference pairs have in common."""

from finetune.train.batches import ChosenSequences, PairData, TrainingData
from finetune.train.method import FilesOfRows
from finetune.train.preflight import Fact


class OnPairs:
    """A better and a worse answer to one prompt."""

    def training_data(self, rows: ChosenSequences, sources: FilesOfRows) -> TrainingData:
        """Pairs."""
        return PairData(rows)

    def validation_data(self, rows: ChosenSequences, sources: FilesOfRows) -> TrainingData:
        """Pairs."""
        return PairData(rows)

    def facts(self, data: TrainingData) -> list[Fact]:
        """None: the pre-flight counts pairs for every method."""
        return []
