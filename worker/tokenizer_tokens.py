"""Which tokens a checkpoint's tokenizer has, read from its tokenizer.json without loading the tokenizer."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def missing_tokens(directory: Path, tokens: Sequence[str]) -> list[str]:
    """Those of `tokens` that the tokenizer in `directory` lacks; none where no tokenizer.json can be read."""
    if not tokens:
        return []
    try:
        values: dict[str, Any] = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
        known = {str(added["content"]) for added in values.get("added_tokens") or []}
        known.update(_vocabulary(values["model"]["vocab"]))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []  # SentencePiece's or Mistral's own file: vLLM says itself what is missing
    return [token for token in tokens if token not in known]


def _vocabulary(vocab: Any) -> Iterable[str]:
    """All tokens. BPE and WordPiece map tokens to ids, Unigram lists pairs of token and weight."""
    return vocab if isinstance(vocab, dict) else (entry[0] for entry in vocab)
