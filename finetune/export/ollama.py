"""Ollama's Modelfile, with the chat template that the model was trained with.

Ollama does not read Jinja but Go's text/template (https://docs.ollama.com/modelfile). A conversation of texts
is the same few pieces around its messages in most chat templates; they are found by rendering, put together
as a Go template, and compared with the Jinja template's own words on longer conversations. Where these are
not the same pieces everywhere, there is no Modelfile.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.chat_message import ChatMessage
from common.template_rendering import TemplateRefusal
from finetune.export.source import ExportSource

Render = Callable[[Sequence[ChatMessage]], str]
"""A conversation, without the token that begins a text, up to where the answer begins."""
SYSTEM, QUESTIONS, ANSWERS = "체계", ("물음하나", "물음둘", "물음셋"), ("답하나", "답둘")
LONGER = "첫 줄: 'a' \"b\" <c> & {d}\n둘째 줄 1,000원"
"""A content with characters that templates may change."""


class NoModelfile(Exception):
    """The chat template cannot be said in Ollama's form; says why."""


def modelfile(source: ExportSource, file: str) -> str:
    """The Modelfile of a model in `file`. Raises NoModelfile."""
    card = source.card.own_template
    if card is not None and card.date is not None:
        raise NoModelfile("it asks for today's date, which Ollama does not tell a template")
    pieces = find_pieces(_render(source))
    stops = [str(token) for token in source.tokenizer.convert_ids_to_tokens(list(source.stops))]
    lines = [
        f"FROM ./{file}",
        f"TEMPLATE {_quoted(pieces.go_template())}",
        *(f"PARAMETER stop {_quoted(stop)}" for stop in stops),
        f"LICENSE {_quoted(source.card.licence)}",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """`text` as it stands in a Modelfile, which knows no escapes and loses characters that are not printed
    (https://github.com/ollama/ollama/blob/main/parser/parser.go). Raises NoModelfile."""
    if '"""' in text:
        raise NoModelfile('it holds """, with which a Modelfile ends a text')
    lost = next((one for one in text if not one.isprintable() and one not in "\n\r\t"), None)
    if lost is not None:
        raise NoModelfile(f"a Modelfile loses the character U+{ord(lost):04X}")
    return f'"""{text}"""'


def _render(source: ExportSource) -> Render:
    """llama.cpp puts the token that begins a text there by itself, so it is taken away."""

    def render(messages: Sequence[ChatMessage]) -> str:
        try:
            text = source.prompt(messages)
        except TemplateRefusal as error:
            raise NoModelfile(f"it refuses a plain conversation: {error}") from error
        return text.removeprefix(str(source.tokenizer.bos_token)) if source.begins else text

    return render


@dataclass(frozen=True)
class Pieces:
    """What stands around the messages of a conversation."""

    first: str
    """Before the first question, where there is no system message."""
    system: tuple[str, str] | None
    """Before a system message, and between it and the first question; None for a template without one."""
    answer: str
    """Between a question and the answer that was given to it."""
    question: str
    """Between an answer and the next question."""
    end: str
    """Behind the last question: the answer begins."""

    def conversation(self, messages: Sequence[ChatMessage]) -> str:
        """As the Go template writes it."""
        texts = [str(message["content"]) for message in messages]
        begin = self.first
        if messages[0]["role"] == "system":
            told = texts.pop(0)
            begin = self.first if self.system is None else self.system[0] + told + self.system[1]
        between = [self.answer if number % 2 == 0 else self.question for number in range(len(texts) - 1)]
        return begin + "".join(a + b for a, b in zip(texts, [*between, self.end], strict=True))

    def go_template(self) -> str:
        """For Ollama: `.System` is all system messages together, and `.Messages` has them, too."""
        begin = _go(self.first)
        if self.system is not None:
            before, after = map(_go, self.system)
            begin = f"{{{{ if .System }}}}{before}{{{{ .System }}}}{after}{{{{ else }}}}{begin}{{{{ end }}}}"
        last = "eq (len (slice $.Messages $number)) 1"
        return (
            f"{begin}{{{{ range $number, $message := .Messages }}}}"
            f'{{{{ if eq .Role "user" }}}}{{{{ .Content }}}}{{{{ if {last} }}}}{_go(self.end)}{{{{ end }}}}'
            f'{{{{ else if eq .Role "assistant" }}}}{_go(self.answer)}{{{{ .Content }}}}'
            f"{{{{ if not ({last}) }}}}{_go(self.question)}{{{{ end }}}}{{{{ end }}}}{{{{ end }}}}"
        )


def _go(text: str) -> str:
    """`text` as it stands in a Go template."""
    plain = "{{" not in text and not text.endswith("{")  # which would be one brace more of what follows
    return text if plain else f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}"


def find_pieces(render: Render) -> Pieces:
    """Of the template behind `render`. Raises NoModelfile."""
    first, answer, question, end = _around(render, _turns(2), (QUESTIONS[0], ANSWERS[0], QUESTIONS[1]))
    pieces = Pieces(first, _system(render), answer, question, end)
    for messages in (_turns(1), _turns(3), [_user(LONGER)], [_user(LONGER), _assistant(LONGER), _user("x")]):
        _compare(render, pieces, messages)
        if pieces.system is not None:
            _compare(render, pieces, [{"role": "system", "content": LONGER}, *messages])
    return pieces


def _user(text: str) -> ChatMessage:
    return {"role": "user", "content": text}


def _assistant(text: str) -> ChatMessage:
    return {"role": "assistant", "content": text}


def _turns(questions: int) -> list[ChatMessage]:
    texts = [text for pair in zip(QUESTIONS, (*ANSWERS, ""), strict=True) for text in pair]
    return [(_assistant if n % 2 else _user)(text) for n, text in enumerate(texts[: 2 * questions - 1])]


def _system(render: Render) -> tuple[str, str] | None:
    """None also where the template refuses system messages or leaves them out, as then there is no place."""
    messages: list[ChatMessage] = [{"role": "system", "content": SYSTEM}, *_turns(1)]
    try:
        if SYSTEM not in render(messages):
            return None
    except NoModelfile:
        return None
    before, after, _end = _around(render, messages, (SYSTEM, QUESTIONS[0]))
    return before, after


def _around(render: Render, messages: Sequence[ChatMessage], contents: Sequence[str]) -> list[str]:
    """What stands before, between and behind `contents` in the conversation."""
    text, found = render(messages), []
    for content in contents:
        before, there, text = text.partition(content)
        if not there:
            raise NoModelfile("it leaves messages out or puts them in another order")
        found.append(before)
    return [*found, text]


def _compare(render: Render, pieces: Pieces, messages: Sequence[ChatMessage]) -> None:
    if render(messages) != pieces.conversation(messages):
        raise NoModelfile("what it puts around a message depends on the message or on its place")
