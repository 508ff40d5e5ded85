"""The seven classes of AI Hub's text ethics data with their three levels, and OpenAI's thirteen
categories."""

from collections.abc import Mapping, Sequence
from typing import Literal

Level = Literal["low", "medium", "high"]

CLASSES = ("CENSURE", "HATE", "DISCRIMINATION", "SEXUAL", "ABUSE", "VIOLENCE", "CRIME")
CLEAN = "IMMORAL_NONE"
LEVELS: tuple[Level, ...] = ("low", "medium", "high")
LEVEL_BEGINS: Mapping[Level, float] = {"low": 0.0, "medium": 1.8, "high": 2.6}
"""Level -> the least intensity that counts as this level. AI Hub's intensity is the mean of its annotators'
votes, 1.0 to 3.0."""

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
"""From https://platform.openai.com/docs/guides/moderation. Answers name all of them: typed clients fail where
one is missing."""
TO_OPENAI: Mapping[str, str] = {
    "CENSURE": "harassment",
    "ABUSE": "harassment",
    "HATE": "hate",
    "DISCRIMINATION": "hate",
    "SEXUAL": "sexual",
    "VIOLENCE": "violence",
    "CRIME": "illicit",
}
"""Our class -> OpenAI's category. For the other eight categories these classes say nothing: they are answered
with false and 0."""


def openai_scores(scores: Sequence[float]) -> dict[str, float]:
    """OpenAI's category -> the highest of `scores` (in the order of CLASSES) among the classes that map to
    it."""
    found = dict.fromkeys(OPENAI_CATEGORIES, 0.0)
    for name, score in zip(CLASSES, scores, strict=True):
        category = TO_OPENAI[name]
        found[category] = max(found[category], score)
    return found
