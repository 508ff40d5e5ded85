"""Rows from documents: a teacher writes them from each passage, and they are checked against it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from finetune.rows.fast_row import JsonRow, UnusableLine, check_row
from finetune.synthetic.authorship import Authorship
from finetune.synthetic.grounding import checked, opinion_of, opinion_request
from finetune.synthetic.passages import Reading, SourcePassage
from finetune.synthetic.round_trip import RoundTrip, indexed
from finetune.synthetic.row_faults import fault_of
from finetune.synthetic.tasks import Candidate, RowTask
from finetune.synthetic.teacher import Teacher, TeacherRequest, UnusableAnswer
from finetune.synthetic.unanswerable import SHARE, unanswerable

SOURCE = "kodolly-documents"
TOKENS_A_CHARACTER = 0.7
"""Tokens per character of Korean prompts and answers, roughly; tokenizers differ by up to a half."""
ANSWER_CHARACTERS = 350
"""Characters of an answer to a request for rows, roughly."""
OPINION_CHARACTERS = 90
DOUBTFUL = 1.5
"""Most second opinions for each request for rows, as the estimate assumes."""


@dataclass
class DocumentRows:
    """The rows, with counts of what became none."""

    rows: list[JsonRow] = field(default_factory=list)
    proposed: int = 0
    """Rows that the teacher proposed in readable answers."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Reason -> proposed rows that were dropped for it."""


@dataclass(frozen=True)
class RunEstimate:
    """Requests and tokens of a run: a rough upper bound."""

    requests: int
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class _Kept:
    candidate: Candidate
    by: str
    """How the row was found to be supported by its passage: `words` or `second opinion`."""


def requests_for(
    reading: Reading, kinds: Sequence[RowTask], seed: int
) -> list[tuple[RowTask, SourcePassage, TeacherRequest]]:
    """A request to the teacher for each passage and each kind of rows that it is long enough for."""
    return [
        (task, passage, task.request(passage, seed))
        for passage in reading.passages
        for task in kinds
        if len(passage.text) >= task.fewest_characters
    ]


def estimate(reading: Reading, kinds: Sequence[RowTask], seed: int) -> RunEstimate:
    """Estimate a run before anything is asked."""
    asked = requests_for(reading, kinds, seed)
    prompts = sum(len(one.system) + len(one.user) for _, _, one in asked)
    opinions = round(len(asked) * DOUBTFUL)
    again = round(opinions * prompts / max(1, len(asked)))
    written = len(asked) * ANSWER_CHARACTERS + opinions * OPINION_CHARACTERS
    return RunEstimate(
        len(asked) + opinions,
        round((prompts + again) * TOKENS_A_CHARACTER),
        round(written * TOKENS_A_CHARACTER),
    )


def rows_from_documents(
    reading: Reading, kinds: Sequence[RowTask], size: int, teacher: Teacher, author: Authorship, seed: int
) -> DocumentRows:
    """Ask the teacher for rows and keep those that pass all checks.

    size: most characters of a passage, which the index for the round trip uses, too. Raises UserError; the
    teacher's journal then holds the answers so far.
    """
    made = DocumentRows()
    proposed = _proposed(reading, kinds, teacher, seed, made)
    fluent = [one for one in proposed if _passes(made, _language_fault(one))]
    grounded = _grounded(fluent, teacher, seed, made)
    with indexed(reading, size) as trip:
        kept = [one for one in grounded if _passes(made, _vague(one.candidate, trip))]
        asked: set[tuple[str, str]] = set()
        for one in kept:
            candidate = one.candidate
            key = (candidate.instruction, candidate.passage.text if candidate.category != "closed_qa" else "")
            if key in asked:
                made.dropped["the same question again"] += 1
            elif _add(made, candidate, candidate.passage, candidate.response, author, {"checked": one.by}):
                asked.add(key)
        answered = [one.candidate for one in kept if one.candidate.category == "closed_qa"]
        wanted = round(len(made.rows) * SHARE / (1 - SHARE))
        for question, passage, said in unanswerable(answered, wanted, trip, teacher, seed, made.dropped):
            _add(made, question, passage, said, author, {"answerable": False, "checked": "second opinion"})
    return made


def _proposed(
    reading: Reading, kinds: Sequence[RowTask], teacher: Teacher, seed: int, made: DocumentRows
) -> list[Candidate]:
    asked = requests_for(reading, kinds, seed)
    answers = teacher.answers([request for _, _, request in asked], "asking for rows")
    found: list[Candidate] = []
    for (task, passage, _), answer in zip(asked, answers, strict=True):
        try:
            found += task.read(passage, answer)
        except UnusableAnswer as error:
            made.dropped[str(error)] += 1
    made.proposed = len(found)
    return found


def _language_fault(one: Candidate) -> str:
    row = _row(one, one.passage, one.response, {})
    return fault_of(row, terse=one.category in ("information_extraction", "classification"))


def _grounded(candidates: list[Candidate], teacher: Teacher, seed: int, made: DocumentRows) -> list[_Kept]:
    verdicts = checked(candidates)
    doubtful = [one for one, verdict in zip(candidates, verdicts, strict=True) if verdict == "doubtful"]
    asked = teacher.answers([opinion_request(one, seed) for one in doubtful], "second opinions")
    opinions = iter(map(opinion_of, asked))
    kept = []
    for one, verdict in zip(candidates, verdicts, strict=True):
        if verdict == "said":
            kept.append(_Kept(one, "words"))
        elif verdict != "doubtful":
            made.dropped[verdict] += 1
        elif next(opinions):
            kept.append(_Kept(one, "second opinion"))
        else:
            made.dropped["the passage does not say so (second opinion)"] += 1
    return kept


def _vague(one: Candidate, trip: RoundTrip) -> str:
    """Why a question is too vague to find its passage; '' if it is not, and for categories other than
    questions, which come with their passage."""
    if one.category != "closed_qa" or trip.finds(one.instruction, one.passage):
        return ""
    return "the question does not find its passage"


def _passes(made: DocumentRows, fault: str) -> bool:
    if fault:
        made.dropped[fault] += 1
    return not fault


def _add(
    made: DocumentRows,
    one: Candidate,
    passage: SourcePassage,
    response: str,
    author: Authorship,
    more: dict[str, object],
) -> bool:
    row = _row(one, passage, response, _meta(one, passage, author) | more)
    try:
        check_row(row)
    except UnusableLine as error:
        made.dropped[f"no row: {error.detail}"] += 1
        return False
    made.rows.append(row)
    return True


def _row(one: Candidate, passage: SourcePassage, response: str, meta: dict[str, object]) -> JsonRow:
    return JsonRow(
        instruction=one.instruction, context=passage.text, response=response, category=one.category, meta=meta
    )


def _meta(one: Candidate, passage: SourcePassage, author: Authorship) -> dict[str, object]:
    """`meta` of the row: file, page and place of its passage, the evidence, and who wrote it."""
    first = passage.chunk.spans[0]
    meta: dict[str, object] = {"source": SOURCE, "file": passage.source, "passage": passage.id}
    if passage.chunk.pages:
        meta["page"] = passage.chunk.pages[0]
    meta |= {"span": [first.start, first.end], **author.meta()}
    return meta | ({"quotes": list(one.quotes)} if passage is one.passage else {})
