"""What feedback says of answers: which is good or bad by itself, which is better than which other."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from common.feedback import JudgedAnswer
from finetune.data.stored_feedback import Feedback, PromptMessages, StoredRating, StoredVote, prompt_of

APART = 2
"""Least difference between two ratings of answers to one prompt that makes them a pair."""
GOOD, BAD = 4, 2
"""Scores from which on, and up to which, an answer is good or bad by itself."""
FeedbackKind = Literal["vote", "both_bad", "rating", "thumb", "correction"]


@dataclass(frozen=True)
class AnswerVerdict:
    """An answer is good, or bad."""

    prompt: PromptMessages
    answer: JudgedAnswer
    good: bool
    rater: str
    id: str
    origin: FeedbackKind


@dataclass(frozen=True)
class Preference:
    """One answer is better than another."""

    prompt: PromptMessages
    better: JudgedAnswer
    worse: JudgedAnswer
    rater: str
    id: str
    origin: FeedbackKind
    voices: frozenset[str] = frozenset()
    """Ids of all feedback that was counted for and against."""

    @property
    def texts(self) -> tuple[str, str]:
        """Better and worse answer."""
        return self.better.answer.strip(), self.worse.answer.strip()


def verdicts(feedback: Feedback) -> Iterator[AnswerVerdict]:
    """From both sides of a vote, scores, thumbs and corrections, the earliest first. Of more than two answers
    the best is good; what the others are by themselves nobody said."""
    for vote in feedback.votes:
        prompt = prompt_of(vote.left.messages)
        if vote.choice == "both_bad":
            for answer in (vote.left, vote.right):
                yield AnswerVerdict(
                    prompt_of(answer.messages), answer, False, vote.rater, vote.id, "both_bad"
                )
        elif (decided := _preferred(vote)) is not None and prompt == prompt_of(vote.right.messages):
            sure = (True,) if vote.comparison else (True, False)
            for answer, good in zip(decided, sure, strict=False):
                yield AnswerVerdict(prompt, answer, good, vote.rater, vote.id, "vote")
    for rating in feedback.ratings:
        yield from _of_rating(rating)


def _of_rating(rating: StoredRating) -> Iterator[AnswerVerdict]:
    prompt = prompt_of(rating.answer.messages)
    good, origin = _judged(rating)
    if rating.correction is not None:
        corrected = correction_of(rating)
        if good is not True:
            good, origin = False, "correction"
        yield AnswerVerdict(prompt, corrected, True, rating.rater, rating.id, "correction")
    if good is not None:
        yield AnswerVerdict(prompt, rating.answer, good, rating.rater, rating.id, origin)


def _judged(rating: StoredRating) -> tuple[bool | None, FeedbackKind]:
    """Good, bad or neither. A score says more than a thumb."""
    if rating.score is not None:
        return True if rating.score >= GOOD else False if rating.score <= BAD else None, "rating"
    return None if rating.thumb is None else rating.thumb == "up", "thumb"


def correction_of(rating: StoredRating) -> JudgedAnswer:
    """The answer as the rater would have it. No model wrote it, so it has no checkpoint."""
    given = rating.answer
    return given.model_copy(
        update={"answer": rating.correction or "", "finish_reason": "stop", "checkpoint": None}
    )


def preferences(feedback: Feedback, left_out: Counter[str]) -> Iterator[Preference]:
    """From votes, corrections and the best and worst rated answers to a prompt. Each rater has one voice on
    the same two answers, the last one given; of several raters the majority counts."""
    cast: dict[tuple[PromptMessages, frozenset[str]], dict[str, Preference]] = defaultdict(dict)
    votes = 0
    for one in (*_of_votes(feedback.votes, left_out), *_of_corrections(feedback.ratings)):
        votes += 1
        cast[one.prompt, frozenset(one.texts)][one.rater] = one
    left_out["voted on before"] += votes - sum(len(voices) for voices in cast.values())
    for voices in cast.values():
        sides: dict[str, list[Preference]] = defaultdict(list)
        for one in voices.values():
            sides[one.texts[0]].append(one)
        ranked = sorted(sides.values(), key=len, reverse=True)
        if len(ranked) > 1 and len(ranked[0]) == len(ranked[1]):
            left_out["votes on the same two answers cancel out"] += len(voices)
            continue
        left_out["voted on before"] += len(voices) - 1
        yield replace(ranked[0][0], voices=frozenset(one.id for one in voices.values()))
    for one in _rated_apart(feedback.ratings):
        if (one.prompt, frozenset(one.texts)) not in cast or _cancelled(
            cast[one.prompt, frozenset(one.texts)]
        ):
            yield one


def _cancelled(voices: dict[str, Preference]) -> bool:
    counts = Counter(one.texts[0] for one in voices.values()).most_common(2)
    return len(counts) > 1 and counts[0][1] == counts[1][1]


def _preferred(vote: StoredVote) -> tuple[JudgedAnswer, JudgedAnswer] | None:
    """Better and worse answer; None for a vote without a winner."""
    if vote.choice == "left":
        return vote.left, vote.right
    return (vote.right, vote.left) if vote.choice == "right" else None


def _of_votes(votes: Iterable[StoredVote], left_out: Counter[str]) -> Iterator[Preference]:
    for vote in votes:
        decided = _preferred(vote)
        if decided is None:
            left_out["no winner"] += 1
        elif prompt_of(vote.left.messages) != prompt_of(vote.right.messages):
            left_out["the two answers are to different conversations"] += 1
        elif vote.left.answer.strip() == vote.right.answer.strip():
            left_out["the two answers are the same"] += 1
        else:
            yield Preference(prompt_of(vote.left.messages), *decided, vote.rater, vote.id, "vote")


def _of_corrections(ratings: Iterable[StoredRating]) -> Iterator[Preference]:
    for rating in ratings:
        if rating.correction is not None and rating.correction.strip() != rating.answer.answer.strip():
            prompt, corrected = prompt_of(rating.answer.messages), correction_of(rating)
            yield Preference(prompt, corrected, rating.answer, rating.rater, rating.id, "correction")


def scored_answers(ratings: Iterable[StoredRating]) -> dict[tuple[PromptMessages, str], list[StoredRating]]:
    """The ratings with a score of each answer, one a rater."""
    found: dict[tuple[PromptMessages, str], dict[str, StoredRating]] = defaultdict(dict)
    for rating in ratings:
        if rating.score is not None:
            key = prompt_of(rating.answer.messages), rating.answer.answer.strip()
            found[key][rating.rater] = rating
    return {key: list(given.values()) for key, given in found.items()}


def mean_score(ratings: list[StoredRating]) -> float:
    """The mean of ratings that have a score."""
    return sum(rating.score or 0 for rating in ratings) / len(ratings)


def _rated_apart(ratings: Iterable[StoredRating]) -> Iterator[Preference]:
    """Best and worst rated answer to one prompt, where they are at least APART points apart."""
    prompts: dict[PromptMessages, list[list[StoredRating]]] = defaultdict(list)
    for (prompt, _), rated in scored_answers(ratings).items():
        prompts[prompt].append(rated)
    for prompt, answers in prompts.items():
        best, worst = max(answers, key=mean_score), min(answers, key=mean_score)
        if mean_score(best) - mean_score(worst) >= APART:
            yield Preference(prompt, best[0].answer, worst[0].answer, best[0].rater, best[0].id, "rating")
