"""From rows to token ids, and which of them the loss covers: the assistant's answers and their end tokens.

A token that the loss covers is called learnt, here and in all of training.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from common.chat_message import ChatMessage
from common.errors import UserError
from common.template_rendering import ChatTemplate
from common.thought_marks import split_thought
from finetune.encoding.answer_chains import Chain, chains
from finetune.encoding.own_settings import OwnSettings, own_settings, own_template
from finetune.encoding.own_template import EngineConversation, NotLearnable, OwnTemplate
from finetune.encoding.text_ids import inner_ids, rendered, text_ids
from finetune.rows.row import Row, RowTurn, learnt_messages, to_messages

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


Learn = Literal["all", "last"]
"""Which answers of a conversation are learnt."""

IGNORED = -100
"""Label of a token that the loss leaves out: `ignore_index` of torch's cross_entropy."""
WINDOW_ATTEMPTS = 6
"""How often a row may be shortened. A text has not quite as many tokens as its parts together, so that one
attempt may leave a few too many."""


@dataclass(frozen=True)
class Example:
    """One training sequence."""

    input_ids: list[int]
    labels: list[int]
    """The id itself where it is learnt, IGNORED elsewhere; as long as `input_ids`."""
    messages: list[ChatMessage] | None = None
    """The conversation that was encoded; None for plain text."""
    prompt_tokens: int = 0
    """Tokens before the last answer."""
    tools: Sequence[dict[str, object]] = ()
    """The tools that the conversation may call, as OpenAI's API describes them."""
    kwargs: dict[str, object] = field(default_factory=dict)
    """Further variables that the template was rendered with."""
    trims: bool = False
    """Whether the template strips white space from the ends of an answer."""


def encode_row(tokenizer: "PreTrainedTokenizerBase", row: Row) -> Example:
    """`encode_rows` for a single row."""
    return encode_rows(tokenizer, [row])[0]


def encode_rows(tokenizer: "PreTrainedTokenizerBase", rows: Sequence[Row]) -> list[Example]:
    """For each row the sequence that ends with its last answer. Raises UserError as
    `encode_conversations`."""
    return [examples[-1] for examples in encode_conversations(tokenizer, rows)]


def encode_conversations(
    tokenizer: "PreTrainedTokenizerBase", rows: Sequence[Row], learn: Learn = "all"
) -> list[list[Example]]:
    """For each row the sequences that together teach its answers (or the last of them): one, unless a model's
    own template rewrites earlier turns, so that each answer has a prompt of its own.

    Raises UserError when a row or the template would teach anything but the answers.
    """
    settings = own_settings(tokenizer)
    if settings is not None:
        own = own_template(tokenizer, settings)
        return [_encode_own(own, settings, row, learn) for row in rows]
    made = _encode_marked(tokenizer, rows)
    return [[_answer_only(example) if learn == "last" else example] for example in made]


def _encode_own(own: OwnTemplate, settings: OwnSettings, row: Row, learn: Learn) -> list[Example]:
    messages = to_messages(row)
    _refuse_special_tokens(own.tokenizer, messages, row)
    if any(
        split_thought(str(turn.get("content") or ""))[0] for turn in messages if turn["role"] == "assistant"
    ):
        raise UserError(
            f"The row {_name(row)} has a thought within an answer's text.",
            hint="`kodolly data convert` puts it where it belongs, into reasoning_content.",
        )
    thinks = any("reasoning_content" in message for message in messages)
    conversation = EngineConversation(messages, row.tools, settings.thinking if thinks else settings.plain)
    places = learnt_messages(row)
    try:
        made = chains(own, conversation, places if learn == "all" else places[-1:])
    except NotLearnable as error:
        raise UserError(
            f"The row {_name(row)} cannot be learnt as it would be served: {error}.",
            hint="Another template may have a place for it: template: NAME or FILE.jinja.",
        ) from error
    return [_example(chain, conversation) for chain in made]


def _example(chain: Chain, conversation: EngineConversation) -> Example:
    last = chain.answers[-1]
    labels = [token if learnt else IGNORED for token, learnt in zip(chain.ids, chain.learnt, strict=True)]
    return Example(
        chain.ids,
        labels,
        list(conversation.messages[: last.index + 1]),
        len(last.prompt_ids),
        [dict(tool) for tool in conversation.tools],
        dict(conversation.kwargs),
        any(answer.trims for answer in chain.answers),
    )


def _encode_marked(tokenizer: "PreTrainedTokenizerBase", rows: Sequence[Row]) -> list[Example]:
    """Encode with a built-in template, whose {% generation %} marks say what is learnt."""
    for row in rows:
        if beyond := row.beyond_text():
            raise UserError(
                f"The row {_name(row)} holds {beyond}, for which this chat template has no place.",
                hint="The model's own template may have one: template: own.",
            )
    conversations = [_with_system(to_messages(row)) for row in rows]
    for messages, row in zip(conversations, rows, strict=True):
        _refuse_special_tokens(tokenizer, messages, row)
    encoded: Any = tokenizer.apply_chat_template(
        conversations,
        return_dict=True,
        return_assistant_tokens_mask=True,
        padding=False,
    )
    prompts = [rendered(tokenizer, messages[:-1], prompt=True) for messages in conversations]
    prompt_tokens = tokenizer(prompts, add_special_tokens=False)["input_ids"]
    examples = []
    for messages, row, ids, mask, text, asked in zip(
        conversations,
        rows,
        encoded["input_ids"],
        encoded["assistant_masks"],
        prompts,
        prompt_tokens,
        strict=True,
    ):
        if ids[: len(asked)] != asked:
            ids, mask = _split_at_answer(tokenizer, messages, text, asked, row)
        elif any(turn.weight == 0 for turn in row.history):
            mask = _without_context_turns(mask, row)
        labels = [token if learnt else IGNORED for token, learnt in zip(ids, mask, strict=True)]
        _check_answer(tokenizer, ids, labels, len(asked))
        examples.append(Example(list(ids), labels, messages, len(asked)))
    return examples


def _with_system(messages: list[ChatMessage]) -> list[ChatMessage]:
    """A developer's message becomes the system prompt, which these templates have: so does vLLM."""
    if not any(message["role"] == "developer" for message in messages):
        return messages
    return ChatTemplate("").as_engine_sees(messages)


def _without_context_turns(mask: Sequence[int], row: Row) -> list[int]:
    """`mask` with zeros for the answers of weight 0; its runs of ones are the answers in their order."""
    kept = [bool(turn.weight) for turn in row.history if turn.role == "assistant"] + [True]
    runs = [(learnt, list(run)) for learnt, run in itertools.groupby(mask)]
    if sum(bool(learnt) for learnt, _run in runs) != len(kept):
        raise UserError(
            f"The row {_name(row)}: the chat template's {{% generation %}} marks do not tell its answers "
            "apart, so that the one of weight 0 cannot be left out."
        )
    answers = iter(kept)
    return [
        int(bool(learnt) and keep)
        for learnt, run in runs
        for keep in [not learnt or next(answers)]
        for _ in run
    ]


def encode_pair(tokenizer: "PreTrainedTokenizerBase", chosen: Row, rejected: Row) -> tuple[Example, Example]:
    """Encode a better and a worse answer to one prompt. The loss covers these two alone, no answer of the
    history."""
    better, worse = (_answer_only(example) for example in encode_rows(tokenizer, [chosen, rejected]))
    return better, worse


def _answer_only(example: Example) -> Example:
    labels = [IGNORED] * example.prompt_tokens + example.labels[example.prompt_tokens :]
    return Example(example.input_ids, labels, example.messages, example.prompt_tokens)


def encode_text(tokenizer: "PreTrainedTokenizerBase", text: str) -> Example:
    """Encode plain text: every token and the end token are learnt."""
    ids = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    return Example(ids, list(ids))


def prompt_ids(tokenizer: "PreTrainedTokenizerBase", messages: list[ChatMessage]) -> list[int]:
    """Token ids of everything before the answer, made as an engine makes them: render, then tokenise.

    A model's own template is told not to think, where it has a switch for it. Raises UserError where it
    refuses the messages.
    """
    settings = own_settings(tokenizer)
    if settings is not None:
        own = own_template(tokenizer, settings)
        try:
            text = own.render(EngineConversation(messages, (), settings.plain), len(messages), prompt=True)
        except NotLearnable as error:
            raise UserError(f"A conversation cannot be asked: {error}.") from error
        return own.ids(text)
    return text_ids(tokenizer, rendered(tokenizer, messages, prompt=True))


def fit(tokenizer: "PreTrainedTokenizerBase", row: Row, excess: int) -> Row | None:
    """`row` shortened by about `excess` tokens, or None when even without history and context it would not
    be.

    The oldest exchanges of the history go first, the system message never; then the context shrinks to a
    window around the answer. Question and answer stay whole.
    """
    first = next((n for n, turn in enumerate(row.history) if turn.role == "user"), len(row.history))
    system, turns = row.history[:first], row.history[first:]
    while excess > 0 and turns:
        end = next((n for n, turn in enumerate(turns) if n and turn.role == "user"), len(turns))
        excess -= sum(_count(tokenizer, text) for turn in turns[:end] for text in _texts(turn))
        turns = turns[end:]
    context = row.context
    if excess > 0 and context.strip():
        context = _window(tokenizer, context, row.response.strip(), excess)
        excess = 0 if context else excess
    if excess > 0:
        return None
    return row.model_copy(update={"history": (*system, *turns), "context": context})


def _texts(turn: RowTurn) -> list[str]:
    calls = [f"{call.name} {json.dumps(call.arguments, ensure_ascii=False)}" for call in turn.tool_calls]
    return [turn.content, turn.reasoning_content, *calls]


def _count(tokenizer: "PreTrainedTokenizerBase", text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


def _window(tokenizer: "PreTrainedTokenizerBase", context: str, answer: str, excess: int) -> str:
    """A part of `context` with `excess` tokens less and the answer near its middle; "" where nothing is
    left."""
    offsets = tokenizer(context, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    room = len(offsets) - excess
    if room < 1:
        return ""
    place = context.find(answer)
    middle = max(0, place) + (len(answer) // 2 if place >= 0 else 0)
    at = next((n for n, (_, end) in enumerate(offsets) if end > middle), 0)
    first = min(max(0, at - room // 2), len(offsets) - room)
    return context[offsets[first][0] : offsets[first + room - 1][1]].strip()


def _refuse_special_tokens(
    tokenizer: "PreTrainedTokenizerBase", messages: list[ChatMessage], row: Row
) -> None:
    """Raises UserError for a text that spells out a special token: the tokenizer would make that token of it,
    and the row could end its own answer early."""
    for text in [text for message in messages for text in _strings(message)]:
        for token in tokenizer.all_special_tokens:
            if token in text:
                raise UserError(
                    f"The row {_name(row)} contains the special token {token} as text.",
                    hint="`kodolly data clean` finds such rows.",
                )


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings(each)


def _split_at_answer(
    tokenizer: "PreTrainedTokenizerBase",
    messages: list[ChatMessage],
    prompt: str,
    asked: list[int],
    row: Row,
) -> tuple[list[int], list[int]]:
    """(ids, mask) of a row whose prompt and answer would share a token if they were tokenised together.

    `### 답변:` and an answer that starts with a quotation mark do: `:"` is one token of many vocabularies.
    An engine tokenises the prompt alone, so training must see that prompt, and the answer after it.
    """
    whole = rendered(tokenizer, messages)
    answer = inner_ids(tokenizer, whole[len(prompt) :])
    ids = [*asked, *answer]
    if not whole.startswith(prompt) or tokenizer.decode(ids) != tokenizer.decode(
        tokenizer(whole, add_special_tokens=False)["input_ids"]
    ):
        raise UserError(
            f"The row {_name(row)}: its prompt alone gives other tokens than its prompt with the answer.",
            hint="The chat template must end a prompt where a token ends.",
        )
    ends = [n for n, token in enumerate(answer) if token == tokenizer.eos_token_id]
    learnt = ends[-1] + 1 if ends else len(answer)
    return ids, [0] * len(asked) + [1] * learnt + [0] * (len(answer) - learnt)


def _check_answer(
    tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int], labels: list[int], prompt: int
) -> None:
    """Raises UserError unless the loss covers the last answer, from its first token to its end token, and
    nothing of the prompt."""
    answer = labels[prompt:]
    learnt = next((n for n, label in enumerate(answer) if label == IGNORED), len(answer))
    if learnt == 0 or any(label != IGNORED for label in answer[learnt:]) or labels[prompt - 1] != IGNORED:
        raise UserError(
            "The chat template's {% generation %} marks do not cover exactly the answer and its end token."
        )
    if answer[learnt - 1] != tokenizer.eos_token_id:
        raise UserError(
            f"The chat template ends an answer without {tokenizer.eos_token}; the model would never stop.",
            hint="Set `end_token` to the token that ends this template's answers, or choose another.",
        )


def _name(row: Row) -> str:
    return str(row.meta.get("id") or repr(row.instruction[:40]))
