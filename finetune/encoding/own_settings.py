"""How training renders a model's own chat template. The settings are kept as an attribute of the tokenizer,
beside `chat_template`, so that whoever has the one has the other."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from common.chat_template import template_hash
from common.checkpoint import OwnTemplateCard
from common.errors import UserError
from common.template_rendering import ChatTemplate, TemplateRefusal
from finetune.encoding.own_template import OwnTemplate
from finetune.encoding.text_ids import token_ids
from finetune.encoding.thinking_switch import plain_kwargs, thinking_kwargs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


_ATTRIBUTE = "kodolly_own_settings"


@dataclass(frozen=True)
class OwnSettings:
    """Everything besides the tokenizer and its `chat_template` that decides which tokens a conversation
    becomes."""

    stops: tuple[int, ...]
    """Tokens at which an engine ends an answer."""
    day: date | None
    """The date that the template is told is today's; None where it does not ask."""
    plain: Mapping[str, object]
    """Template variables for rows without reasoning."""
    thinking: Mapping[str, object]
    """Template variables for rows with reasoning."""
    closes_thoughts: bool = False
    """Whether a row without reasoning learns to close at once the thought that its prompt opens."""

    def card(self, tokenizer: "PreTrainedTokenizerBase", *, reasons: bool) -> OwnTemplateCard:
        """The settings as `kodolly.json` records them.

        reasons: whether rows had reasoning; then thinking is what serving asks for by default.
        """
        return OwnTemplateCard(
            template_kwargs=dict(self.thinking if reasons else self.plain),
            plain_kwargs=dict(self.plain),
            thinking_kwargs=dict(self.thinking),
            date=self.day.isoformat() if self.day else None,
            closes_thoughts=self.closes_thoughts,
            stop_tokens=[str(token) for token in tokenizer.convert_ids_to_tokens(list(self.stops))],
        )

    @classmethod
    def of_card(cls, tokenizer: "PreTrainedTokenizerBase", card: OwnTemplateCard) -> "OwnSettings":
        """The settings that `card` recorded."""
        return cls(
            stops=tuple(token_ids(tokenizer, card.stop_tokens)),
            day=date.fromisoformat(card.date) if card.date else None,
            plain=card.plain_kwargs,
            thinking=card.thinking_kwargs,
            closes_thoughts=card.closes_thoughts,
        )


def find_settings(
    tokenizer: "PreTrainedTokenizerBase",
    stops: tuple[int, ...],
    today: date,
    *,
    closes_thoughts: bool = False,
) -> OwnSettings:
    """Find out how the tokenizer's chat template has to be rendered. Raises UserError for a template from
    which no answer can be learnt exactly."""
    template = ChatTemplate(tokenizer.chat_template, tokenizer.special_tokens_map)
    name = f"The chat template ({template_hash(template.text)})"
    try:
        unknown = template.unknown_variables()
    except TemplateRefusal as error:
        raise UserError(f"{name} cannot be used: {error}.") from error
    if unknown:
        raise UserError(
            f"{name} writes out {', '.join(unknown)}, and nobody gives it that.",
            hint="Templates are given messages, tools, add_generation_prompt and the special tokens.",
        )
    day = today if template.dated else None
    own = OwnTemplate(tokenizer, template, frozenset(stops), day, closes_thoughts)
    plain, thinking = plain_kwargs(own), thinking_kwargs(own)
    return OwnSettings(stops, day, plain or {}, thinking or {}, closes_thoughts)


def set_own(tokenizer: "PreTrainedTokenizerBase", settings: OwnSettings | None) -> None:
    """Render conversations as `settings` say from now on; None: by the {% generation %} marks of a template
    of ours."""
    setattr(tokenizer, _ATTRIBUTE, settings)


def own_settings(tokenizer: "PreTrainedTokenizerBase") -> OwnSettings | None:
    """The settings that `set_own` has set, or None."""
    return getattr(tokenizer, _ATTRIBUTE, None)


def stop_ids(tokenizer: "PreTrainedTokenizerBase") -> tuple[int, ...]:
    """Tokens that may end an answer: with a model's own template those at which an engine stops, otherwise
    the end token alone."""
    settings = own_settings(tokenizer)
    return settings.stops if settings is not None else (tokenizer.eos_token_id,)


def own_template(tokenizer: "PreTrainedTokenizerBase", settings: OwnSettings) -> OwnTemplate:
    """The tokenizer with its template as the settings render it."""
    template = _chat_template(tokenizer)
    return OwnTemplate(tokenizer, template, frozenset(settings.stops), settings.day, settings.closes_thoughts)


_TEMPLATE = "kodolly_chat_template"


def _chat_template(tokenizer: "PreTrainedTokenizerBase") -> ChatTemplate:
    """The parsed template. It is kept on the tokenizer, as parsing a long one takes as long as rendering ten
    rows."""
    kept = getattr(tokenizer, _TEMPLATE, None)
    if not isinstance(kept, ChatTemplate) or kept.text != tokenizer.chat_template:
        kept = ChatTemplate(tokenizer.chat_template, tokenizer.special_tokens_map)
        setattr(tokenizer, _TEMPLATE, kept)
    return kept
