"""Adapters from other trainers (LLaMA-Factory, axolotl, TRL, Unsloth ...), which lack kodolly's card.

They name their base by a path on another machine or a hub id, so that only shapes and vocabulary can show
whether a directory is that base. The prompt format is in the tokenizer that most trainers save beside them.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from common.chat_template import load_template, name_of_text, template_hash, template_names
from common.checkpoint import CheckpointCard, read_card
from common.errors import UserError
from finetune.data.load import load_rows
from finetune.encoding.encode import prompt_ids
from finetune.encoding.text_ids import rendered, text_ids
from finetune.merge.embeddings import fit_embeddings
from finetune.merge.source import AdapterMerge, read_base_config
from finetune.models.adapter import Probe
from finetune.models.adapter_files import AdapterFiles, read_adapter_files
from finetune.models.auto import checkpoint_tokenizer
from finetune.models.checkpoint import weights_hash
from finetune.models.load import ROW_MULTIPLE, listed_stops
from finetune.models.memory import sizes
from finetune.models.published.by_hub_id import BASE_MODELS
from finetune.rows.row import to_messages

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase


ROWS = Path(__file__).parents[1] / "demo" / "rows.jsonl"
"""Conversations for the comparison, bundled as no trainer saves its rows."""
PROBES = 32
LONGEST = 512
"""Most tokens of a conversation that is compared."""
_NOT_SAID = 1_000_000
"""A `model_max_length` above this means that none was set."""


def foreign_source(
    directory: Path, base: Path | None, name: str, template: str | None = None, licence: str | None = None
) -> AdapterMerge:
    """Prepare the merge of an adapter that `kodolly train` did not write.

    base: directory of the model that it was trained on, where the adapter does not name one on this machine.
    name: the result's name. template: one of ours, in place of the adapter's or the base's own. licence: the
    result's, where the base does not say. Raises UserError for files that do not belong together.
    """
    files = read_adapter_files(directory)
    base = _base(files, base)
    config = read_base_config(base)
    files = fit_embeddings(config, files, base)
    tokenizer, card = _tokenizer(directory, base), read_card(base)
    template_name = _set_template(tokenizer, card, template)
    probes = _probes(tokenizer, config)
    rows = _rows(config, tokenizer, files, probes)
    return AdapterMerge(
        files=files,
        base=base,
        config=config,
        card=CheckpointCard(
            name=name,
            base_model=card.name if card else _base_name(files, base),
            base_revision=weights_hash(base),
            method="lora",
            recipe={"adapter": _told(files)},
            licence=licence or _licence(files, card),
            template=template_name,
            template_hash=template_hash(tokenizer.chat_template),
            context_length=_context_length(config, tokenizer),
            dtype="float32",
            parameters=sizes(config).total,
            created=int(time.time()),
        ),
        tokenizer=tokenizer,
        probes=probes,
        stops=_stops(base, tokenizer, probes),
        rows=rows,
    )


def _base(files: AdapterFiles, base: Path | None) -> Path:
    given = base or Path(files.base)
    if base is None and not os.path.isdir(files.base):  # pathlib raises for names that can be none
        where = f"was trained on {files.base}, which is no directory here" if files.base else "names no base"
        raise UserError(f"The adapter {where}.", hint="Say where that model is: --base DIRECTORY.")
    if not given.is_dir():
        raise UserError(f"The base {given} does not exist.", hint="--base names the directory of a model.")
    return given


def _tokenizer(directory: Path, base: Path) -> "PreTrainedTokenizerBase":
    """The adapter's own tokenizer, else the base's. Raises UserError where they give a token different ids,
    as the adapter was then trained on another base."""
    ours = checkpoint_tokenizer(base)
    if not (directory / "tokenizer_config.json").is_file():
        _refuse_without_end(ours, base)
        return ours
    tokenizer = checkpoint_tokenizer(directory)
    _refuse_without_end(tokenizer, directory)
    known = tokenizer.get_vocab()
    for token, number in ours.get_vocab().items():
        if known.get(token, number) != number:
            raise UserError(
                f"The adapter was not made for {base}: its tokenizer has {token!r} as number {known[token]}, "
                f"the base's as {number}.",
                hint="--base names the model that it was trained on.",
            )
    if not tokenizer.chat_template:
        tokenizer.chat_template = ours.chat_template
    return tokenizer


def _refuse_without_end(tokenizer: "PreTrainedTokenizerBase", directory: Path) -> None:
    if tokenizer.eos_token_id is None:
        raise UserError(f"The tokenizer in {directory} has no end token; answers would never stop.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token


def _set_template(
    tokenizer: "PreTrainedTokenizerBase", card: CheckpointCard | None, template: str | None
) -> str:
    """Set the tokenizer's chat template; returns its name, `own` where it is none of ours. Raises
    UserError."""
    if template is not None:
        tokenizer.chat_template = load_template(template)
        return template
    own = tokenizer.chat_template
    if isinstance(own, dict):
        own = own.get("default")
    if own is None and card is not None:
        own = load_template(card.template)
    if own is None:
        raise UserError(
            "Neither the adapter nor its base has a chat template: its prompt is not known.",
            hint=f"Say which: --template NAME, one of {', '.join(template_names())}.",
        )
    tokenizer.chat_template = own
    return name_of_text(own) or "own"


def _probes(tokenizer: "PreTrainedTokenizerBase", config: "PretrainedConfig") -> list[Probe]:
    """Bundled conversations in the adapter's template. Raises UserError when the template renders none."""
    longest = min(LONGEST, _context_length(config, tokenizer))
    made: list[Probe] = []
    for row in load_rows(ROWS):
        messages = to_messages(row.model_copy(update={"history": ()}))
        try:
            text = rendered(tokenizer, messages)
            asked = prompt_ids(tokenizer, messages[:-1])
        except Exception as error:  # a template is a program, and a stranger's may fail in any way
            raise UserError(
                f"The chat template cannot be rendered: {error}.", hint="--template NAME takes one of ours."
            ) from error
        ids = text_ids(tokenizer, text)
        if ids[: len(asked)] == asked and len(asked) < len(ids) <= longest:
            made.append(Probe(messages=messages, input_ids=ids, prompt_tokens=len(asked)))
        if len(made) == PROBES:
            break
    return made


def _rows(
    config: "PretrainedConfig",
    tokenizer: "PreTrainedTokenizerBase",
    files: AdapterFiles,
    probes: Sequence[Probe],
) -> int | None:
    """The number of embedding rows, where more are needed than the base has: a padding token, say, needs one
    and stands in no prompt. None where the base has enough. Raises UserError where prompts hold untrained
    tokens."""
    text = config.get_text_config()
    count = 1 + max(tokenizer.get_vocab().values())
    if count <= text.vocab_size:
        return None
    used = {number for probe in probes for number in probe.input_ids if number >= text.vocab_size}
    trained = {number for numbers in _token_rows(files) for number in numbers}
    brought = any(value.ndim == 2 and len(value) == text.vocab_size for value in files.whole.values())
    if used - trained or brought:
        tokens = ", ".join(tokenizer.convert_ids_to_tokens(sorted(used - trained))) or "new tokens"
        raise UserError(
            f"The adapter's tokenizer has {count} tokens, and there are embeddings for {text.vocab_size}: "
            f"what training made of {tokens} was not saved.",
            hint="Save the embeddings with the adapter (modules_to_save: [embed_tokens, lm_head]).",
        )
    text.vocab_size = -(-count // ROW_MULTIPLE) * ROW_MULTIPLE
    return int(text.vocab_size)


def _token_rows(files: AdapterFiles) -> list[list[int]]:
    indices = files.config.trainable_token_indices or []
    return list(indices.values()) if isinstance(indices, dict) else [indices]


def _stops(base: Path, tokenizer: "PreTrainedTokenizerBase", probes: Sequence[Probe]) -> tuple[int, ...]:
    """Stop tokens: the one with which the template ends answers, the tokenizer's end token, the base's
    list."""
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    answers = (probe.input_ids[probe.prompt_tokens :] for probe in probes[:1])
    ends = [number for answer in answers for number in answer if number in special][:1]
    return tuple(dict.fromkeys([*ends, tokenizer.eos_token_id, *listed_stops(base, tokenizer)]))


def _base_name(files: AdapterFiles, base: Path) -> str:
    """The hub id by which the adapter names its base, else the directory's name."""
    return files.base if files.base in BASE_MODELS or files.base.count("/") == 1 else base.name


def _licence(files: AdapterFiles, card: CheckpointCard | None) -> str:
    if card is not None:
        return card.licence
    if files.base in BASE_MODELS:
        return BASE_MODELS[files.base].licence
    raise UserError("The base does not say its licence.", hint="Give it: --licence NAME.")


def _told(files: AdapterFiles) -> dict[str, object]:
    config = files.config
    return {
        "base": files.base,
        "rank": config.r,
        "alpha": config.lora_alpha,
        "rslora": config.use_rslora,
        "dora": config.use_dora,
        "modules_to_save": list(files.saved),
    }


def _context_length(config: "PretrainedConfig", tokenizer: "PreTrainedTokenizerBase") -> int:
    """The model's positions; where its configuration has none (BLOOM), the tokenizer's `model_max_length`."""
    said = tokenizer.model_max_length
    given = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(given or (said if said < _NOT_SAID else 2048))
