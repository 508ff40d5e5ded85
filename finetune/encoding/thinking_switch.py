"""Which variables make a chat template write thoughts, and which make it leave them out.

Templates spell the switch in many ways (`enable_thinking`, `thinking`, `skip_think`, `reasoning_effort` ...).
It is found by trial: every variable that the template reads is set to true, to false and to the texts that it
is compared with, until a small conversation comes out as wanted.
"""

from common.chat_message import ChatMessage
from common.template_switches import Kwargs, candidates
from finetune.encoding.own_template import (
    EngineAnswer,
    EngineConversation,
    NotLearnable,
    OwnTemplate,
    answer_at,
)

ASKED: ChatMessage = {"role": "user", "content": "문을 열까요?"}
SAID = "네, 열어 주세요."
THOUGHT = "방이 덥다고 했다."


def plain_kwargs(own: OwnTemplate) -> Kwargs | None:
    """Variables with which an answer without a thought is rendered as the answer alone, or as near to it as
    the template comes; None where no such answer can be rendered."""
    answers = {}
    for kwargs in candidates(own.template, 1):
        answer = _answer(own, {"role": "assistant", "content": SAID}, kwargs)
        if answer is not None and answer.text.lstrip().startswith(SAID):
            return kwargs
        answers[_key(kwargs)] = answer
    return {} if answers[_key({})] is not None else None


def thinking_kwargs(own: OwnTemplate) -> Kwargs | None:
    """Variables with which an answer keeps its thought; None where none do that."""
    message: ChatMessage = {"role": "assistant", "content": SAID, "reasoning_content": THOUGHT}
    tried = candidates(own.template, 2)
    return next((kwargs for kwargs in tried if _answer(own, message, kwargs) is not None), None)


def _answer(own: OwnTemplate, message: ChatMessage, kwargs: Kwargs) -> EngineAnswer | None:
    try:
        return answer_at(own, EngineConversation([ASKED, message], (), kwargs), 1)
    except NotLearnable:
        return None


def _key(kwargs: Kwargs) -> tuple[tuple[str, object], ...]:
    return tuple(sorted(kwargs.items()))
