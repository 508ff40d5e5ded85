"""The checkpoint that is exported: complete, one of ours, and in full precision."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.chat_message import ChatMessage
from common.checkpoint import CheckpointCard, ExportCard, read_card
from common.checkpoint_identity import checkpoint_id
from common.errors import UserError
from common.template_rendering import ChatTemplate, TemplateRefusal
from finetune.encoding.own_settings import OwnSettings, set_own, stop_ids
from finetune.models.auto import checkpoint_config, checkpoint_tokenizer
from finetune.models.checkpoint import weights_hash

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedTokenizerBase


@dataclass(frozen=True)
class ExportSource:
    """A checkpoint of ours, looked through."""

    directory: Path
    config: "PretrainedConfig"
    card: CheckpointCard
    tokenizer: "PreTrainedTokenizerBase"
    """With the chat template and how training rendered it."""

    @property
    def text_config(self) -> "PretrainedConfig":
        """Of the part that reads and writes text; the configuration itself where there is no other."""
        return self.config.get_text_config()

    @property
    def stops(self) -> tuple[int, ...]:
        """Tokens at which an answer ends; the first is the one that training ended answers with."""
        return stop_ids(self.tokenizer)

    def prompt(self, messages: Sequence[ChatMessage]) -> str:
        """A conversation up to where the answer begins, as it was trained. Raises TemplateRefusal."""
        kwargs = self.card.own_template.template_kwargs if self.card.own_template else {}
        return self._template.render(messages, prompt=True, kwargs=kwargs)

    @property
    def begins(self) -> bool:
        """Whether prompts begin with the token that begins texts. Raises UserError."""
        try:
            prompt = self.prompt([{"role": "user", "content": "?"}])
        except TemplateRefusal as error:
            raise UserError(f"The chat template does not render a question: {error}.") from error
        begin = self.tokenizer.bos_token
        return bool(begin) and prompt.startswith(str(begin))

    @property
    def _template(self) -> ChatTemplate:
        return ChatTemplate(str(self.tokenizer.chat_template), self.tokenizer.special_tokens_map)

    def card_of(self, file_format: str, dtype: str, metrics: dict[str, float]) -> CheckpointCard:
        """What the result says: all that the source says, and what it was made from.

        dtype: of most weights. metrics: of the proof.
        """
        made_from = ExportCard(
            format=file_format,
            checkpoint=checkpoint_id(self.directory),
            sha256=weights_hash(self.directory),
        )
        return self.card.model_copy(
            update={"export": made_from, "dtype": dtype, "metrics": self.card.metrics | metrics}
        )


def open_source(directory: Path) -> ExportSource:
    """Raises UserError for what is no checkpoint of ours or has been quantised already."""
    card = read_card(directory)
    if card is None:
        raise UserError(
            f"{directory} is not a checkpoint of kodolly: it has no kodolly.json.",
            hint="`kodolly train` with method full and `kodolly merge` write one.",
        )
    config = checkpoint_config(directory)
    if card.export is not None or getattr(config, "quantization_config", None):
        raise UserError(
            f"{directory} is quantised already; what was rounded once cannot be rounded better.",
            hint="Export the checkpoint that it was made from.",
        )
    tokenizer = checkpoint_tokenizer(directory)
    if card.own_template is not None:
        set_own(tokenizer, OwnSettings.of_card(tokenizer, card.own_template))
    return ExportSource(directory, config, card, tokenizer)


def require_numbers(name: str, weight: "torch.Tensor") -> None:
    """Raises UserError where the weight, or what rounding made of it, is NaN or infinite: the likeliest token
    of such a model means nothing, and would be the same before and after."""
    if not bool(weight.isfinite().all()):
        raise UserError(
            f"{name} has numbers that are not finite in this format, or in the checkpoint itself.",
            hint="bfloat16 holds numbers that float16 does not.",
        )
