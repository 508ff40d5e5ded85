"""What a model is for. Pages and commands offer a chat model only where one is asked for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from common.checkpoint import CARD_FILE

ModelKind = Literal["chat", "embedding", "rerank", "classifier", "moderation"]
KINDS: tuple[ModelKind, ...] = get_args(ModelKind)
_CLASSIFIERS = ("ForSequenceClassification", "ForTokenClassification", "RewardModel")
_WRITERS = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")


def known_kind(given: object) -> object:
    """`given` if it is a kind, else None: a part of a later version may know more of them."""
    return given if given in KINDS else None


def is_moderation(directory: Path) -> bool:
    """Whether a checkpoint directory says that it holds a moderation model of `kodolly train moderation`."""
    try:
        card = json.loads((directory / CARD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(card, dict) and card.get("kind") == "moderation"


def kind_of(config: Mapping[str, Any], runner: str | None = None, convert: str | None = None) -> ModelKind:
    """The kind of a checkpoint with the `config.json` given, served with vLLM's --runner and --convert.

    A model with one label scores pairs: a cross-encoder for reranking. One without a head gives vectors.
    """
    named = config.get("architectures")
    architecture = str(named[0]) if isinstance(named, list) and named else ""
    if convert == "classify" or architecture.endswith(_CLASSIFIERS):
        return "rerank" if _labels(config) == 1 else "classifier"
    if convert == "embed" or runner == "pooling":
        return "embedding"
    if not architecture or architecture.endswith(_WRITERS):
        return "chat"
    return "embedding" if architecture.endswith(("Model", "ForMaskedLM", "Embedding")) else "chat"


def _labels(config: Mapping[str, Any]) -> int:
    """How many labels a classifier tells apart, as transformers reads it."""
    if isinstance(labels := config.get("id2label"), dict):
        return len(labels)
    return number if isinstance(number := config.get("num_labels"), int) else 2
