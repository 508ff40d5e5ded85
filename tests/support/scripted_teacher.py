"""A model that writes rows about the papers of tests/support/known_facts.py, and errs in listed ways.

It speaks OpenAI's API over loopback. What it is asked for it sees from the schema, as a model would; which of
its rows are wrong it remembers.
"""

import json
import random
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any

from tests.support.known_facts import Fact
from tests.support.quiet_handler import QuietHandler, answering

NAME = "scripted-teacher"
_PASSAGE = re.compile(r"<글>\n(.*?)\n</글>", re.DOTALL)
ASKED = re.compile(r"질문: (.*?)(?:\n답: (.*))?$", re.DOTALL)
OF_THE_FACT = ("wrong number", "wrong person", "denial turned", "condition left out")
ERRORS = (
    *OF_THE_FACT,
    *("other fact", "invented evidence", "vague question", "English answer", "English question", "refusal"),
    "claims to be a model",
)


def row_key(instruction: str, response: str, passage: str) -> tuple[str, str, str]:
    """What tells a proposed row from all others: headings may stand before the passage."""
    return instruction, response, passage[-150:]


@dataclass
class ScriptedTeacher:
    """`errs` is the share of wrong rows; `believes` that of wrong rows it takes for right when asked, and
    `doubts` that of right ones it takes for wrong."""

    facts: Sequence[Fact]
    errs: float = 0.0
    believes: float = 0.0
    doubts: float = 0.0
    breaks: float = 0.0
    """Share of answers that are cut off or no JSON."""
    proposed: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """`row_key` -> kind of error, "" for a right row."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    fails_after: int | None = None
    """Requests after which it answers 400."""
    owned_by: str = "vllm"

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body for a chat completion."""
        if self.fails_after is not None and len(self.requests) >= self.fails_after:
            return 400, {"error": {"message": "no more today", "type": "invalid_request_error"}}
        self.requests.append(body)
        user = body["messages"][-1]["content"]
        chance = random.Random(f"{user}{body.get('seed')}")
        names = set(body["response_format"]["json_schema"]["schema"]["properties"])
        if "verdict" not in names and chance.random() < self.breaks:
            cut = chance.random() < 0.5
            return 200, _completion('{"items": [{"question": "몇', "length" if cut else "stop")
        made = self._made(names, user, chance)
        return 200, _completion(json.dumps(made, ensure_ascii=False), "stop")

    def _made(self, names: set[str], user: str, chance: random.Random) -> dict[str, Any]:
        passage = _PASSAGE.search(user)
        assert passage is not None
        here = [fact for fact in self.facts if fact.sentence in passage[1]]
        if "verdict" in names:
            return self._opinion(user, passage[1], chance)
        if names == {"items"}:
            return {"items": [self._pair(fact, here, passage[1], chance) for fact in here[:3]]}
        if "summary" in names:
            return self._summary(here, passage[1], chance)
        if "options" in names:
            return self._label(here, passage[1], chance)
        return self._extraction(here, passage[1], chance)

    def _pair(self, fact: Fact, here: list[Fact], passage: str, chance: random.Random) -> dict[str, str]:
        question, quote, answer, error = fact.question, fact.sentence, chance.choice(fact.answers), ""
        if chance.random() < self.errs:
            error = chance.choice([one for one in ERRORS if one in fact.wrong or one not in OF_THE_FACT])
            question, quote, answer = _wrong(error, fact, here, chance)
        self.proposed[row_key(question, answer, passage)] = error
        return {"question": question, "quote": quote, "answer": answer}

    def _summary(self, here: list[Fact], passage: str, chance: random.Random) -> dict[str, Any]:
        said = [fact.answers[0] for fact in here[:3]]
        error = ""
        if chance.random() < self.errs:
            error = "a summary says more"
            said.append(chance.choice(("그 밖의 일은 이사회가 정합니다.", "위반하면 징계합니다.")))
        text = " ".join(said)
        self.proposed[row_key("다음 글을 요약해 주세요.", text, passage)] = error
        return {"quotes": [fact.sentence for fact in here[:3]], "summary": text}

    def _extraction(self, here: list[Fact], passage: str, chance: random.Random) -> dict[str, Any]:
        asked = "글에 나오는 숫자와 단위를 모두 찾아 쓰세요."
        found = [(m[0], fact.sentence) for fact in here if (m := re.search(r"\d+[가-힣]+", fact.sentence))]
        error = ""
        if chance.random() < self.errs:
            error = chance.choice(("an invented value", "a value left out"))
            found = [*found, ("99회", here[0].sentence)] if error == "an invented value" else found[:-1]
        values = [value for value, _ in found]
        text = values[0] if len(values) == 1 else "\n".join(f"- {value}" for value in values)
        self.proposed[row_key(asked, text, passage)] = error
        return {"instruction": asked, "items": [{"quote": q, "value": v} for v, q in found]}

    def _label(self, here: list[Fact], passage: str, chance: random.Random) -> dict[str, Any]:
        options = ["운영 규정", "뉴스 기사", "시"]
        error = (
            chance.choice(("a wrong label", "no label of the list")) if chance.random() < self.errs else ""
        )
        label = {"a wrong label": "시", "no label of the list": "소설"}.get(error, options[0])
        asked = "이 글의 갈래를 고르세요."
        self.proposed[row_key(f"{asked}\n선택지: {', '.join(options)}", label, passage)] = error
        return {"instruction": asked, "options": options, "quote": here[0].sentence, "answer": label}

    def _opinion(self, user: str, passage: str, chance: random.Random) -> dict[str, str]:
        asked = ASKED.search(user)
        assert asked is not None
        if asked[2] is None:
            right = any(f.question == asked[1] and f.sentence in passage for f in self.facts)
        else:
            right = not self.proposed.get(row_key(asked[1], asked[2], passage), "unknown")
        turned = chance.random() < (self.doubts if right else self.believes)
        return {"reason": "글과 견주어 보았습니다.", "verdict": "yes" if right is not turned else "no"}


def _wrong(error: str, fact: Fact, here: list[Fact], chance: random.Random) -> tuple[str, str, str]:
    right = chance.choice(fact.answers)
    if error in fact.wrong:
        question, answer = fact.wrong[error]
        return question, fact.sentence, answer
    if error == "other fact":
        other = chance.choice([one for one in here if one != fact] or [fact])
        return fact.question, other.sentence, chance.choice(other.answers)
    if error == "invented evidence":
        changed = re.sub(r"\d+", lambda m: str(int(m[0]) + 11), fact.sentence)
        told = re.sub(r"\d+", lambda m: str(int(m[0]) + 11), fact.answers[0])
        if changed == fact.sentence:
            changed, told = f"{changed} 다만 토요일에는 예외로 한다.", "토요일에는 예외로 합니다."
        return fact.question, changed, told
    if error == "vague question":
        return (
            chance.choice(("이 글에서 정한 것은 무엇인가요?", "위 내용은 무엇인가요?")),
            fact.sentence,
            right,
        )
    if error == "English answer":
        return (
            fact.question,
            fact.sentence,
            "According to the regulation, it must be approved by the manager first.",
        )
    if error == "English question":
        return "What does the regulation of the office say about this matter?", fact.sentence, right
    if error == "refusal":
        return fact.question, fact.sentence, "죄송하지만 그 질문에는 답변드릴 수 없습니다."
    return fact.question, fact.sentence, f"저는 OpenAI가 만든 언어 모델입니다. {right}"


def _completion(text: str, finish: str) -> dict[str, Any]:
    return {
        "object": "chat.completion",
        "model": NAME,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }


@contextmanager
def served(teacher: Any) -> Iterator[str]:
    """The URL at which `teacher.answer` answers chat completions, until the block ends."""

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            listed = {"object": "list", "data": [{"id": NAME, "owned_by": teacher.owned_by}]}
            known = self.path == "/v1/models"
            self._send(200 if known else 404, listed if known else {"error": {"message": "not found"}})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                status, answer = teacher.answer(body)
            self._send(status, answer)

        def _send(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body, ensure_ascii=False).encode()
            self.answer(content, status)

    lock = threading.Lock()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with answering(server) as url:
        yield url
