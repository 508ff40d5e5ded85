"""A conversation's answers as training sequences: a single one wherever the engine's prompts continue each
other, so that most conversations cost one pass over their tokens."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from finetune.encoding.own_template import EngineAnswer, EngineConversation, OwnTemplate, answer_at


@dataclass
class Chain:
    """One training sequence: answers whose prompts continue each other."""

    ids: list[int] = field(default_factory=list)
    learnt: list[bool] = field(default_factory=list)
    """For each id, whether the loss covers it."""
    text: str = ""
    answers: list[EngineAnswer] = field(default_factory=list)

    def leads_to(self, answer: EngineAnswer) -> bool:
        """Whether the answer's prompt begins with this whole sequence, as text and as ids."""
        return answer.prompt.startswith(self.text) and answer.prompt_ids[: len(self.ids)] == self.ids

    def add(self, answer: EngineAnswer) -> None:
        """Append the part of the answer's prompt that this sequence lacks, then the answer."""
        more = answer.prompt_ids[len(self.ids) :]
        self.ids += [*more, *answer.ids]
        self.learnt += [False] * len(more) + [True] * len(answer.ids)
        self.text = answer.prompt + answer.text
        self.answers.append(answer)


def chains(own: OwnTemplate, conversation: EngineConversation, learnt: Iterable[int]) -> list[Chain]:
    """Sequences that together teach the answers at the message indices `learnt`, each behind the very prompt
    that an engine makes.

    Raises finetune.encoding.own_template.NotLearnable.
    """
    made: list[Chain] = []
    for index in learnt:
        answer = answer_at(own, conversation, index)
        if not made or not made[-1].leads_to(answer):
            made.append(Chain())
        made[-1].add(answer)
    for chain in made:
        _check(own, chain)
    return made


def _check(own: OwnTemplate, chain: Chain) -> None:
    """Assert that every answer follows the engine's own prompt, that the loss covers all of it and nothing
    else, and that its last token, and no other, is one at which the engine stops."""
    spans = [place for place, one in enumerate(chain.learnt) if one]
    expected: list[int] = []
    for answer in chain.answers:
        start = len(answer.prompt_ids)
        assert chain.ids[:start] == answer.prompt_ids, "the context is not the engine's prompt"
        assert chain.ids[start : start + len(answer.ids)] == answer.ids
        assert [token in own.stops for token in answer.ids] == [False] * (len(answer.ids) - 1) + [True]
        expected += range(start, start + len(answer.ids))
    assert spans == expected
    assert len(chain.ids) == len(chain.learnt)
