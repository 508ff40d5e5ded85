"""Proof that a checkpoint on disk encodes conversations token for token as training did."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import AutoTokenizer

from common.checkpoint import OwnTemplateCard
from common.errors import UserError
from finetune.encoding.encode import Example, prompt_ids
from finetune.encoding.own_settings import OwnSettings, own_settings, own_template
from finetune.encoding.own_template import EngineConversation, NotLearnable, answer_at
from finetune.encoding.text_ids import rendered, text_ids
from finetune.models.adapter import Probe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


CHANGED = "The checkpoint's tokenizer and chat template give other tokens than training saw."
AGAIN = "The base or the template has changed since; train again."
PROBES = 32
"""How many training sequences are kept for the check."""


def make_probes(tokenizer: "PreTrainedTokenizerBase", examples: Sequence[Example]) -> list[Probe]:
    """Up to PROBES of the conversations, evenly spread, so that every kind of row is among them."""
    asked = [(example, example.messages) for example in examples if example.messages]
    own = own_settings(tokenizer) is not None
    return [
        Probe(
            messages=messages,
            input_ids=example.input_ids,
            prompt_tokens=example.prompt_tokens if own else len(prompt_ids(tokenizer, messages[:-1])),
            tools=list(example.tools),
            template_kwargs=example.kwargs,
        )
        for example, messages in asked[:: -(-len(asked) // PROBES) or 1]
    ]


def check_tokens(directory: Path, probes: Sequence[Probe], card: OwnTemplateCard | None = None) -> None:
    """Read tokenizer and template from the files, as an engine does, and encode the probes again. Raises
    UserError where a token differs.

    card: the settings of a model's own template; the date that they recorded is taken for today's.
    """
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    if card is not None:
        own = own_template(tokenizer, OwnSettings.of_card(tokenizer, card))
        for probe in probes:
            conversation = EngineConversation(probe.messages, probe.tools, probe.template_kwargs)
            try:
                answer = answer_at(own, conversation, len(probe.messages) - 1)
            except NotLearnable as error:
                raise UserError(f"{CHANGED} {error}.", hint=AGAIN) from error
            if [*answer.prompt_ids, *answer.ids] != probe.input_ids:
                raise UserError(CHANGED, hint=AGAIN)
        return
    for probe in probes:
        whole = text_ids(tokenizer, rendered(tokenizer, probe.messages))
        asked = prompt_ids(tokenizer, probe.messages[:-1])
        if whole != probe.input_ids or asked != probe.input_ids[: probe.prompt_tokens]:
            raise UserError(CHANGED, hint=AGAIN)
