"""A tokenizer as llama.cpp keeps it: the tokens, how they grow together, and how a text is divided before.

llama.cpp has the divisions of published tokenizers built in, each with a name. A name is found by the
division itself (a regular expression), never by the model's name: where none is the same, the tokenizer is
refused, as other divisions give other tokens.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gguf import GGUFWriter, TokenType

from common.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


Parts = Mapping[str, Any]
"""A tokenizer.json, or a part of it."""
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
DIVISIONS = {
    _WORDS + r"\p{N}{1,3}" + _REST: "llama-bpe",
    _WORDS + r"\p{N}" + _REST: "qwen2",
}
"""Regular expressions of published tokenizers (Llama 3's and Qwen 2's) to llama.cpp's names for them."""
GPT2 = "gpt-2"
"""llama.cpp's name for the division that `ByteLevel` makes by itself."""
UNUSED = "[PAD{}]"
"""Stands for rows of the embedding that have no token."""
SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
"""What SentencePiece writes for a space."""


def write_vocabulary(tokenizer: "PreTrainedTokenizerBase", rows: int, writer: GGUFWriter) -> None:
    """The tokenizer's tokens in `rows` embedding rows. Raises UserError where llama.cpp would divide texts
    in another way."""
    values: Parts = json.loads(tokenizer.backend_tokenizer.to_str())
    model = values["model"]
    if model["type"] != "BPE":
        raise UserError(f"A GGUF file with a tokenizer of type {model['type']} is not written.")
    tokens, types = _tokens(values, rows)
    if model.get("byte_fallback"):
        _write_sentencepiece(values, tokens, types, writer)
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(_division(values))
        writer.add_token_list(tokens)
        writer.add_token_types(types)
        writer.add_token_merges([" ".join(merge) for merge in _merges(model)])


def _tokens(values: Parts, rows: int) -> tuple[list[str], list[int]]:
    """Every row's token and llama.cpp's kind of it. Raises UserError for one that it finds elsewhere."""
    highest = max([*values["model"]["vocab"].values(), *(added["id"] for added in values["added_tokens"])])
    _refuse_unless(highest < rows, f"it has a token {highest} for which the model of {rows} has no row")
    tokens = [UNUSED.format(number) for number in range(rows)]
    types = [int(TokenType.UNUSED)] * rows
    for token, number in values["model"]["vocab"].items():
        tokens[number], types[number] = token, int(TokenType.NORMAL)
    for added in values["added_tokens"]:
        alone = not (added["lstrip"] or added["rstrip"] or added["single_word"])
        _refuse_unless(alone, f"its {added['content']} takes spaces around it or whole words alone")
        kind = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
        tokens[added["id"]], types[added["id"]] = added["content"], int(kind)
    return tokens, types


def _merges(model: Parts) -> list[tuple[str, str]]:
    """Pairs that grow together, the first ones first; old files write each as one text."""
    pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
    return [(left, right) for left, right in pairs]


def _division(values: Parts) -> str:
    """llama.cpp's name for the way in which a text is divided before tokens grow."""
    _refuse_unless(
        _kinds(values["normalizer"]) <= {"NFC"}, "it changes texts in a way that llama.cpp does not"
    )
    parts = _parts(values["pre_tokenizer"], "pretokenizers")
    name = None
    if [part["type"] for part in parts] == ["ByteLevel"] and parts[0].get("use_regex", True):
        name = GPT2
    elif [part["type"] for part in parts] == ["Split", "ByteLevel"] and not parts[1].get("use_regex", True):
        name = DIVISIONS.get(parts[0]["pattern"].get("Regex", ""))
    _refuse_unless(name is not None, "llama.cpp has no division of texts that is the same as its own")
    _refuse_unless(not parts[-1].get("add_prefix_space"), "it puts a space before texts")
    whole_words = bool(values["model"].get("ignore_merges"))
    _refuse_unless(whole_words == (name == "llama-bpe"), "it and llama.cpp do not treat whole words alike")
    return str(name)


def _parts(values: Parts | None, inner: str) -> Sequence[Parts]:
    if values is None:
        return []
    return values[inner] if values["type"] == "Sequence" else [values]


def _kinds(normalizer: Parts | None) -> set[str]:
    return {part["type"] for part in _parts(normalizer, "normalizers")}


def _refuse_unless(fits: bool, reason: str) -> None:
    if not fits:
        raise UserError(f"A GGUF file with this tokenizer is not written: {reason}.")


def _write_sentencepiece(values: Parts, tokens: list[str], types: list[int], writer: GGUFWriter) -> None:
    """BPE over text with bytes for what it does not know, as Llama 2, Mistral and Gemma have.

    llama.cpp joins the pair whose result has the highest score; the order of merges is the order of scores.
    """
    order: dict[str, int] = {}
    for rank, pair in enumerate(_merges(values["model"])):
        order.setdefault("".join(pair), rank)
    lowest = float(-len(order) - 1)
    scores = [float(-order[token]) if token in order else lowest for token in tokens]
    unknown = values["model"].get("unk_token")
    for number, token in enumerate(tokens):
        if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            types[number], scores[number] = int(TokenType.BYTE), 0.0
        elif token == unknown:
            types[number] = int(TokenType.UNKNOWN)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_add_space_prefix(_space_first(values))


def _space_first(values: Parts) -> bool:
    """Whether a text gets a space before it. Raises UserError where texts are changed in other ways."""
    normalizers = _parts(values["normalizer"], "normalizers")
    division = _parts(values["pre_tokenizer"], "pretokenizers")
    changes = [
        (part["type"], part.get("prepend") or part.get("content")) for part in (*normalizers, *division)
    ]
    if changes == [("Metaspace", None)]:
        scheme = division[0].get("prepend_scheme", "always")
        _refuse_unless(scheme != "first", "it puts a space before a text's first part alone")
        return bool(scheme == "always")
    if division and [part["type"] for part in division] == ["Split"]:  # Gemma's, which divides nothing
        changes = changes[:-1]
    _refuse_unless(
        changes in ([("Prepend", SPACE), ("Replace", SPACE)], [("Replace", SPACE)]),
        "it changes texts in a way that llama.cpp does not",
    )
    return len(changes) == 2
