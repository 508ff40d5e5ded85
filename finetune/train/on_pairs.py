"""What all methods on preference pairs have in common."""

from finetune.train.batches import ChosenSequences, PairData, TrainingData
from finetune.train.method import FilesOfRows
from finetune.train.preflight import Fact


class OnPairs:
    """Data sets of pairs: a better and a worse answer to one prompt."""

    def training_data(self, rows: ChosenSequences, sources: FilesOfRows) -> TrainingData:
        """The pairs in the columns of TRL's DPOTrainer."""
        return PairData(rows)

    def validation_data(self, rows: ChosenSequences, sources: FilesOfRows) -> TrainingData:
        """The pairs that are held out, in the same columns."""
        return PairData(rows)

    def facts(self, data: TrainingData) -> list[Fact]:
        """No facts of its own: the pre-flight counts pairs for every method."""
        return []
