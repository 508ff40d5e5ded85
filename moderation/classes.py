"""The seven classes of AI Hub's text ethics data, their three levels, and OpenAI's thirteen categories."""

from collections.abc import Mapping, Sequence
from typing import Literal

Level = Literal["low", "medium", "high"]

CLASSES = ("CENSURE", "HATE", "DISCRIMINATION", "SEXUAL", "ABUSE", "VIOLENCE", "CRIME")
CLEAN = "IMMORAL_NONE"
LEVELS: tuple[Level, ...] = ("low", "medium", "high")
LEVEL_BEGINS: Mapping[Level, float] = {"low": 0.0, "medium": 1.8, "high": 2.6}
"""AI Hub's intensity, the mean of its voters from 1.0 to 3.0, from which a level begins."""

OPENAI_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
"""https://platform.openai.com/docs/guides/moderation: typed clients fail where one is missing."""
TO_OPENAI: Mapping[str, str] = {
    "CENSURE": "harassment",
    "ABUSE": "harassment",
    "HATE": "hate",
    "DISCRIMINATION": "hate",
    "SEXUAL": "sexual",
    "VIOLENCE": "violence",
    "CRIME": "illicit",
}
"""Of the other eight categories a model of these classes says nothing: they are answered false and 0."""


def openai_scores(scores: Sequence[float]) -> dict[str, float]:
    """Scores in the order of CLASSES as those of OpenAI's categories: the highest that falls to each."""
    found = dict.fromkeys(OPENAI_CATEGORIES, 0.0)
    for name, score in zip(CLASSES, scores, strict=True):
        category = TO_OPENAI[name]
        found[category] = max(found[category], score)
    return found
