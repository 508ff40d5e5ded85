"""What all losses on preference pairs have in common."""

from finetune.train.batches import Data, Pairs, Rows
from finetune.train.method import FilesOfRows
from finetune.train.preflight import Fact


class OnPairs:
    """A better and a worse answer to one prompt."""

    def training_data(self, rows: Rows, sources: FilesOfRows) -> Data:
        """Pairs."""
        return Pairs(rows)

    def validation_data(self, rows: Rows, sources: FilesOfRows) -> Data:
        """Pairs."""
        return Pairs(rows)

    def facts(self, data: Data) -> list[Fact]:
        """None: the pre-flight counts pairs for every method."""
        return []
