"""The input of a merge, whoever trained the adapter: files, base, tokenizer and conversations."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.chat_template import TEMPLATE_FILE, load_template, template_hash
from common.checkpoint import CheckpointCard
from common.errors import UserError
from finetune.encoding.own_settings import OwnSettings, set_own, stop_ids
from finetune.models.adapter import AdapterCard, Probe, read_adapter
from finetune.models.adapter_files import AdapterFiles, read_adapter_files
from finetune.models.auto import checkpoint_config
from finetune.models.checkpoint import weights_hash
from finetune.models.load import load_tokenizer

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase


@dataclass(frozen=True)
class AdapterMerge:
    """Everything that decides the merged checkpoint, except its number format."""

    files: AdapterFiles
    base: Path
    config: "PretrainedConfig"
    """The result's configuration: the base's, with the adapter's number of tokens."""
    card: CheckpointCard
    """The result's card, to which the merge adds metrics."""
    tokenizer: "PreTrainedTokenizerBase"
    """The tokenizer, with the chat template that training used."""
    probes: list[Probe]
    """Conversations on which adapter and result are compared."""
    stops: tuple[int, ...]
    """Ids of tokens that end an answer; the first is the one with which training ended answers."""
    rows: int | None = None
    """Embedding rows that the result gets, where new tokens need more than the base has; None otherwise."""


def own_source(directory: Path, base: Path | None) -> AdapterMerge:
    """Prepare the merge of an adapter that `kodolly train` wrote; base: its directory, if it has moved.
    Raises UserError unless base and template are those of the training."""
    adapter = read_adapter(directory)
    base = base or Path(adapter.base)
    if not base.is_dir():
        raise UserError(
            f"The adapter's base {base} does not exist.",
            hint="Put it back where it was, or say where it is now: --base DIRECTORY.",
        )
    config = read_base_config(base)
    if weights_hash(base) != adapter.base_sha256:
        raise UserError(
            f"{base} is not the base that this adapter was trained on: its weights differ.",
            hint="Train the adapter again on this base.",
        )
    template = _template(directory, adapter)
    has_tokenizer = (directory / "tokenizer_config.json").is_file()
    tokenizer = load_tokenizer(directory if has_tokenizer else base, template)
    stops: tuple[int, ...] = (tokenizer.eos_token_id,)
    if (own := adapter.card.own_template) is not None:
        if adapter.end_token:
            tokenizer.eos_token = adapter.end_token
        set_own(tokenizer, OwnSettings.of_card(tokenizer, own))
        stops = stop_ids(tokenizer)
    if adapter.vocabulary_rows:
        config.get_text_config().vocab_size = adapter.vocabulary_rows
    return AdapterMerge(
        files=read_adapter_files(directory),
        base=base,
        config=config,
        card=adapter.card,
        tokenizer=tokenizer,
        probes=adapter.probes,
        stops=stops,
        rows=adapter.vocabulary_rows,
    )


def read_base_config(base: Path) -> "PretrainedConfig":
    """The base's configuration. Raises UserError for a base into which nothing can be merged."""
    config = checkpoint_config(base)
    if getattr(config, "quantization_config", None):
        raise UserError(
            f"The weights of {base} are quantised; an adapter merged into them gives garbage.",
            hint="Merge into the model in full precision: --base DIRECTORY. To train in 4 bits, use method "
            "qlora on that one (it is quantised in memory only).",
        )
    return config


def _template(directory: Path, adapter: AdapterCard) -> str:
    """The text of the template with which the adapter was trained. Raises UserError where it is gone."""
    card = adapter.card
    file = directory / TEMPLATE_FILE
    if card.own_template is None:
        text, told = load_template(card.template), repr(card.template)
    else:
        text, told = file.read_text(encoding="utf-8") if file.is_file() else "", f"in {file}"
    if template_hash(text) != card.template_hash:
        raise UserError(
            f"The chat template {told} has changed since this adapter was trained.",
            hint="Train again, or check out the version it was trained with.",
        )
    return text
