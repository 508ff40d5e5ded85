"""A Korean handbook in three formats with known answers, and rows made from it."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import docx

from common.chat_message import ChatMessage
from common.template_facts import CONTEXT_MARK
from documents.answers.passage import Passage
from documents.answers.prompt import with_passages
from documents.chunks import DEFAULT_SIZE, chunks_of
from documents.read.file import read_file
from documents.search.store import Hit, open_store
from documents.service.bound_passages import MOST_PASSAGES
from documents.service.chat import fitting
from tests.support.paper_files import Paper, Print, lines, table, write_hwpx, write_pdf

COSTS = ("회식비", "교통비", "숙박비", "도서비", "회의비", "교육비", "통신비", "식사비")
LEAVES = ("연차휴가", "병가휴가", "출산휴가", "학습휴가", "포상휴가", "돌봄휴가", "공로휴가")
PAPERS = ("계약서", "보고서", "점검표", "접수부", "급여명세", "감사보고", "출장일지", "열람기록부")
THINGS = ("노트북 컴퓨터", "저장장치", "전열기", "사진기", "휴대전화", "관용차", "실험장치", "열쇠꾸러미")
ROLES = ("총무팀장", "인사과장", "시설팀장", "회계과장", "보안담당관", "기획실장", "운영국장", "감사담당관")
PLACES = ("서고", "전산실", "수장고", "회의실", "실험실", "약품실", "휴게실", "차고")
NUMBERS = (3, 5, 7, 10, 12, 15, 20, 24, 30, 45, 60, 90)
CONTEXT = 1024
"""Of the model, in tokens: half of it is room for passages."""
SUBJECTS = COSTS + LEAVES + PAPERS + THINGS


@dataclass(frozen=True)
class Rule:
    """A sentence of a paper and the question that it answers."""

    subject: str
    sentence: str
    question: str


def rule(chance: random.Random, subject: str) -> Rule:
    """What a paper says of a subject, drawn."""
    number, role, place = chance.choice(NUMBERS), chance.choice(ROLES), chance.choice(PLACES)
    if subject in COSTS:
        return Rule(
            subject,
            f"{subject}는 한 달에 {number}만 원까지 쓰며 {role}이 확인한다.",
            f"{subject}는 얼마까지 쓰나요?",
        )
    if subject in LEAVES:
        return Rule(
            subject,
            f"{subject}는 한 해에 {number}일이며 {role}에게 신청한다.",
            f"{subject}는 며칠인가요?",
        )
    if subject in PAPERS:
        return Rule(
            subject,
            f"{subject}는 {place}에 {number}년 동안 보존한다.",
            f"{subject}는 어디에 보존하나요?",
        )
    return Rule(
        subject,
        f"{subject}는 {role}의 허가를 받아 {place}에서 쓴다.",
        f"{subject}는 누구의 허가를 받나요?",
    )


@dataclass(frozen=True)
class Handbook:
    """Its files, and what each rule is answered from."""

    files: tuple[Path, ...]
    rules: tuple[tuple[str, Rule], ...]
    """File name and rule."""
    table: dict[str, str]
    """What the PDF's table says of each year of service."""


def write_handbook(folder: Path, seed: int = 3) -> Handbook:
    """A PDF of two columns with a table, an HWPX and a DOCX. No rule stands twice."""
    chance = random.Random(seed)
    made = [rule(chance, subject) for subject in chance.sample(SUBJECTS, 10)]
    left, right, secure, terms = made[:2], made[2:4], made[4:7], made[7:]
    years = {"1년": "15일", "10년": "19일", "20년": "24일"}
    pdf = _write_pdf(folder / "rules.pdf", left, right, years)
    hwpx = write_hwpx(folder / "security.hwpx", [one.sentence for one in secure])
    paper = docx.Document()
    paper.add_heading("기록", 1)
    for one in terms:
        paper.add_paragraph(one.sentence)
    paper.save(str(folder / "terms.docx"))
    names = [(pdf.name, left + right), (hwpx.name, secure), ("terms.docx", terms)]
    rules = tuple((name, one) for name, some in names for one in some)
    return Handbook((pdf, hwpx, folder / "terms.docx"), rules, years)


def _write_pdf(path: Path, left: Sequence[Rule], right: Sequence[Rule], years: dict[str, str]) -> Path:
    columns = [
        [line for at, one in enumerate(rules) for line in lines(one.sentence, x, 180 + 60 * at, 20)]
        for rules, x in ((left, 60), (right, 310))
    ]
    drawn = sorted((line for column in columns for line in column), key=lambda line: (line.y, line.x))
    ruled = table([["근속", "연차 일수"], *map(list, years.items())], 60, 420)
    return write_pdf(path, [Paper([Print("취업규칙", 60, 130, 16), *drawn, *ruled])])


def written_rows(handbook: Handbook, folder: Path) -> Path:
    """Dolly rows of the handbook: each question, the passages that a bound model is shown for it (found and
    numbered by the same code), and the rule with the number of the passage that says it."""
    with open_store(folder / "handbook.db", create=True) as store:
        for path in handbook.files:
            document = read_file(path)
            store.add(path.name, document, chunks_of(document), DEFAULT_SIZE)
        made = [_row(rule, store.search(rule.question, MOST_PASSAGES)) for _, rule in handbook.rules]
    written = [json.dumps(row, ensure_ascii=False) + "\n" for row in made]
    (folder / "rows.jsonl").write_text("".join(written), encoding="utf-8")
    return folder / "rows.jsonl"


def _row(asked: Rule, hits: Sequence[Hit]) -> dict[str, object]:
    found = [Passage(hit.source, hit.name, hit.text, hit.headings, hit.spans, hit.relevance) for hit in hits]
    passages = fitting(found, CONTEXT)
    said = next(at for at, passage in enumerate(passages, 1) if asked.sentence in passage.text)
    question: list[ChatMessage] = [{"role": "user", "content": ""}]
    context = with_passages(question, passages, own_template=False)[0]["content"]
    return {
        "instruction": asked.question,
        "context": context.removeprefix(CONTEXT_MARK),
        "response": f"{asked.sentence} [{said}]",
        "category": "closed_qa",
    }
