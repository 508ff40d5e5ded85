"""The model that writes rows. It is asked for JSON by a schema, and each answer is kept, so that a stopped
run resumes.

Schemas must not use minLength and maxLength: with them xgrammar 0.2.8 allows control characters and forbids
every escape, so that no quotation mark can be written (mlc-ai/xgrammar#800).
"""

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from common.errors import UserError
from finetune.eval.models import Messages
from finetune.eval.served_model import TooLong
from finetune.progress import Progress, Report, finished

StructT = TypeVar("StructT", bound=msgspec.Struct)
KindT = TypeVar("KindT")
JsonSchema = dict[str, object]
"""A JSON schema."""


@dataclass(frozen=True)
class TeacherRequest:
    """One question to the teacher, with the schema of its answer."""

    system: str
    user: str
    schema: JsonSchema
    max_tokens: int
    seed: int = 0
    temperature: float = 0.0

    @property
    def messages(self) -> Messages:
        """The request as a conversation."""
        return [{"role": "system", "content": self.system}, {"role": "user", "content": self.user}]


class TeacherAnswer(msgspec.Struct, frozen=True):
    """The teacher's answer; a line of the journal."""

    key: str
    text: str
    finish: str
    """OpenAI's finish reason, or `too_long` where the request exceeds the model's context."""
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


class TeacherModel(Protocol):
    """A model that is asked over HTTP: finetune.eval.served_model.ServedModel, or DeepL."""

    name: str

    def complete(
        self, messages: Messages, max_tokens: int, temperature: float, **settings: object
    ) -> dict[str, object]: ...


class UnusableAnswer(Exception):
    """An answer that cannot be used; the text is the reason, under which it is counted."""


@dataclass
class Teacher:
    """Asks `model`, several requests at once, and keeps its answers in the file `journal`."""

    model: TeacherModel
    journal: Path
    report: Report
    at_once: int = 8
    tokens: Counter[str] = field(default_factory=Counter)
    """`prompt` and `completion` -> tokens of all answers, with those of earlier runs."""
    asked: int = 0
    """Requests of this run, without those whose answer was in the journal."""
    _known: dict[str, TeacherAnswer] | None = None

    def answers(self, requests: Sequence[TeacherRequest], stage: str) -> list[TeacherAnswer]:
        """The answers, in the order of the requests; stage: what progress is shown as. Raises UserError; the
        journal then holds the answers so far."""
        known = self._read()
        keys = [_key(self.model.name, request) for request in requests]
        missing = {k: r for k, r in zip(keys, requests, strict=True) if k not in known}
        if missing:
            self._ask(missing, known, stage, len(requests))
        self.report(finished(stage, f"{len(requests):,} requests, {len(missing):,} of them new"))
        found = [known[key] for key in keys]
        for answer in found:
            self.tokens.update(prompt=answer.prompt_tokens, completion=answer.completion_tokens)
        return found

    def _ask(
        self, missing: dict[str, TeacherRequest], known: dict[str, TeacherAnswer], stage: str, all_of: int
    ) -> None:
        began = time.monotonic()
        pool = ThreadPoolExecutor(self.at_once, thread_name_prefix="teacher")
        stopped = threading.Event()
        try:
            self.journal.parent.mkdir(parents=True, exist_ok=True)
            with self.journal.open("ab") as out:
                asked = [pool.submit(self._answer, key, one, stopped) for key, one in missing.items()]
                for done, future in enumerate(as_completed(asked), start=1):
                    answer = future.result()
                    out.write(msgspec.json.encode(answer) + b"\n")
                    out.flush()
                    known[answer.key] = answer
                    self.asked += 1
                    left = (time.monotonic() - began) / done * (len(missing) - done)
                    share = (all_of - len(missing) + done) / all_of
                    self.report(Progress(stage, share, f"{done:,} answers", left))
        except OSError as error:
            raise UserError(f"{self.journal} cannot be written: {error.strerror}.") from error
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)

    def _answer(self, key: str, request: TeacherRequest, stopped: threading.Event) -> TeacherAnswer:
        if stopped.is_set():
            raise UserError("The run was stopped.")
        shape = {"name": "rows", "strict": True, "schema": request.schema}
        try:
            body = self.model.complete(
                request.messages,
                request.max_tokens,
                request.temperature,
                seed=request.seed,
                response_format={"type": "json_schema", "json_schema": shape},
            )
        except TooLong:
            return TeacherAnswer(key, "", "too_long")
        try:
            said = msgspec.convert(body, _Completion)
        except msgspec.ValidationError as error:
            raise UserError(f"{self.model.name} does not answer as OpenAI's API does: {error}.") from error
        choice, usage = said.choices[0], said.usage or _Usage()
        text, finish = choice.message.content or "", choice.finish_reason or ""
        return TeacherAnswer(key, text, finish, usage.prompt_tokens, usage.completion_tokens)

    def _read(self) -> dict[str, TeacherAnswer]:
        """Request's hash -> answer, from earlier runs. A last line that a kill cut short is skipped, and
        ended so that the next answer begins a line of its own."""
        if self._known is not None:
            return self._known
        self._known = {}
        try:
            content = self.journal.read_bytes() if self.journal.exists() else b""
            for line in content.split(b"\n"):
                try:
                    answer = msgspec.json.decode(line, type=TeacherAnswer)
                except msgspec.DecodeError:
                    continue
                self._known[answer.key] = answer
            if content and not content.endswith(b"\n"):
                with self.journal.open("ab") as out:
                    out.write(b"\n")
        except OSError as error:
            raise UserError(f"{self.journal} cannot be read: {error.strerror}.") from error
        return self._known


def parsed(answer: TeacherAnswer, kind: type[StructT]) -> StructT:
    """The answer as a `kind`. Raises UnusableAnswer, also for JSON that was cut off: nothing is completed by
    guess."""
    return _converted(answer, kind)


def parsed_object(answer: TeacherAnswer) -> dict[str, str]:
    """The answer as an object whose values are texts. Raises UnusableAnswer."""
    return _converted(answer, dict[str, str])


def _converted(answer: TeacherAnswer, kind: type[KindT]) -> KindT:
    if answer.finish == "too_long":
        raise UnusableAnswer("the request does not fit the model's context")
    if answer.finish != "stop":
        raise UnusableAnswer("the answer was cut off")
    try:
        return msgspec.convert(json.loads(answer.text, strict=False), type=kind)
    except ValueError as error:
        raise UnusableAnswer("the answer is not the JSON that was asked for") from error


def object_schema(**properties: JsonSchema) -> JsonSchema:
    """JSON schema of an object with these properties, all of them required."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def list_schema(of: JsonSchema, most: int) -> JsonSchema:
    """JSON schema of a list of at most `most` items of the schema `of`."""
    return {"type": "array", "items": of, "maxItems": most}


TEXT: JsonSchema = {"type": "string"}


def _key(model: str, request: TeacherRequest) -> str:
    asked = [model, request.messages, request.schema, request.max_tokens, request.seed, request.temperature]
    return hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode()).hexdigest()[:24]
