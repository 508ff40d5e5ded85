"""A classifier of texts on vLLM: where its labels say what a text is, it answers `/v1/moderations`, too."""

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec

from common.model_kind import kind_of
from moderation.labels import has_meaning
from moderation.vllm_classifier import SETTINGS_VARIABLE, ClassifierLabels, ModerationByClassifier
from worker.flags import value_of

_MIDDLEWARE = f"{ModerationByClassifier.__module__}.{ModerationByClassifier.__qualname__}"


def moderation_flags(directory: Path, args: Sequence[str]) -> list[str]:
    """vLLM's flags for such a model; none for another."""
    return ["--middleware", _MIDDLEWARE] if labels_of(directory, args) is not None else []


def moderation_environment(directory: Path, args: Sequence[str]) -> dict[str, str]:
    """What the middleware has to know."""
    labels = labels_of(directory, args)
    return {} if labels is None else {SETTINGS_VARIABLE: msgspec.json.encode(labels).decode()}


def labels_of(directory: Path, args: Sequence[str]) -> ClassifierLabels | None:
    """Of a classifier that can moderate; None for any other model."""
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    named = config.get("id2label") if isinstance(config, dict) else None
    if not isinstance(named, dict):
        return None
    if kind_of(config, value_of(args, ("--runner",)), value_of(args, ("--convert",))) != "classifier":
        return None
    try:
        names = tuple(str(named[key]) for key in sorted(named, key=int))
    except ValueError:
        return None
    if not has_meaning(names):
        return None
    return ClassifierLabels(names, several=config.get("problem_type") == "multi_label_classification")
