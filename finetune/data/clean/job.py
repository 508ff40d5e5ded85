"""The directory of a cleaning that can go on where it was cut off."""

from dataclasses import dataclass, field
from pathlib import Path

from finetune.data.clean.chunk import CleaningRules
from finetune.data.clean.pool import Pool
from finetune.progress import Report


@dataclass
class CleaningJob:
    """What the stages of one run share."""

    work: Path
    rules: CleaningRules
    similarity: float
    pool: "Pool"
    report: Report
    files: list[Path] = field(default_factory=list)
