"""A conversation's answers as training sequences: one where the engine's prompts continue each other."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from finetune.encoding.own_template import EngineAnswer, EngineConversation, OwnTemplate, answer_at


@dataclass
class Chain:
    """One training sequence: answers whose prompts continue each other."""

    ids: list[int] = field(default_factory=list)
    learnt: list[bool] = field(default_factory=list)
    """Of each id."""
    text: str = ""
    answers: list[EngineAnswer] = field(default_factory=list)

    def leads_to(self, answer: EngineAnswer) -> bool:
        """Whether the answer's prompt begins with all of this, as text and as ids."""
        return answer.prompt.startswith(self.text) and answer.prompt_ids[: len(self.ids)] == self.ids

    def add(self, answer: EngineAnswer) -> None:
        """Append what the answer's prompt has besides, and the answer."""
        more = answer.prompt_ids[len(self.ids) :]
        self.ids += [*more, *answer.ids]
        self.learnt += [False] * len(more) + [True] * len(answer.ids)
        self.text = answer.prompt + answer.text
        self.answers.append(answer)


def chains(own: OwnTemplate, conversation: EngineConversation, learnt: Iterable[int]) -> list[Chain]:
    """Sequences that together learn the answers at `learnt`, each exactly as an engine will have it.

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
    """Every answer stands behind the engine's own prompt; all of it is learnt and nothing else; it ends with
    a token at which the engine stops, the only one in it."""
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
