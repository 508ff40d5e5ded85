"""A model's own chat template as training uses it, and where that is kept: beside `chat_template` on the
tokenizer, as transformers keeps the template itself there."""

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
    """All that decides, besides the tokenizer and its `chat_template`, what a conversation becomes."""

    stops: tuple[int, ...]
    """Tokens at which an engine ends an answer."""
    day: date | None
    """What the template takes for today; None where it does not ask."""
    plain: Mapping[str, object]
    """What the template is given for rows without reasoning."""
    thinking: Mapping[str, object]
    """And for rows with it."""
    closes_thoughts: bool = False
    """Whether rows without reasoning close at once the thought that a prompt opens."""

    def card(self, tokenizer: "PreTrainedTokenizerBase", *, reasons: bool) -> OwnTemplateCard:
        """For `kodolly.json`; reasons: whether rows had reasoning, so that serving asks for it, too."""
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
        """What `card` recorded."""
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
    """How the tokenizer's chat template is to be rendered. Raises UserError for one that cannot be."""
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
    """Have conversations rendered as `settings` say; None: by the {% generation %} marks of its template."""
    setattr(tokenizer, _ATTRIBUTE, settings)


def own_settings(tokenizer: "PreTrainedTokenizerBase") -> OwnSettings | None:
    """What `set_own` has set."""
    return getattr(tokenizer, _ATTRIBUTE, None)


def stop_ids(tokenizer: "PreTrainedTokenizerBase") -> tuple[int, ...]:
    """Tokens with which answers end: of a model's own template those of an engine, else the end token."""
    settings = own_settings(tokenizer)
    return settings.stops if settings is not None else (tokenizer.eos_token_id,)


def own_template(tokenizer: "PreTrainedTokenizerBase", settings: OwnSettings) -> OwnTemplate:
    """Tokenizer, template and settings together."""
    template = _chat_template(tokenizer)
    return OwnTemplate(tokenizer, template, frozenset(settings.stops), settings.day, settings.closes_thoughts)


_TEMPLATE = "kodolly_chat_template"


def _chat_template(tokenizer: "PreTrainedTokenizerBase") -> ChatTemplate:
    """The parsed template, kept on the tokenizer: to parse a long one takes as long as rendering ten rows."""
    kept = getattr(tokenizer, _TEMPLATE, None)
    if not isinstance(kept, ChatTemplate) or kept.text != tokenizer.chat_template:
        kept = ChatTemplate(tokenizer.chat_template, tokenizer.special_tokens_map)
        setattr(tokenizer, _TEMPLATE, kept)
    return kept
