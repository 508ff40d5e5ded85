"""How servers that are not stock vLLM write what it writes: all of it legal, all of it seen in the field.

A manner changes the bytes and the framing, never what is said: behind the gateway a client must not be able
to tell one from another. Sources: WHATWG HTML, 9.2 (event streams), RFC 9112, 7 (chunks) and 6.3 (bodies that
end with their connection), RFC 9110, 8.3.1 (media types are compared without regard to case).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any, Literal

from tests.support.scripted_answers import Step

Framing = Literal["chunks", "extended chunks", "one chunk", "trailer", "close"]
Usage = Literal["as asked", "null until the end", "with the finish", "decimal", "never"]


@dataclass(frozen=True)
class Manner:
    """One way to write an answer; the defaults are vLLM's."""

    line_ends: tuple[str, ...] = ("\n",)
    """Taken in turn."""
    mark: str = ""
    """Before the stream."""
    data: str = "data: "
    before: str = ""
    """Before every event: comments, or events without data. With LF."""
    fields: str = ""
    """More lines of every event. With LF."""
    empty_lines: int = 1
    """After every event."""
    split_data: bool = False
    """JSON is spread over several data lines."""
    spaces: bool = False
    """JSON has spaces after commas and colons."""
    ends_early: bool = False
    """The empty line after the last event is missing."""
    content_type: str = "text/event-stream"
    framing: Framing = "chunks"
    usage: Usage = "as asked"
    plain: bool = False
    """A whole answer, although a stream was asked for."""

    def event(self, lines: str) -> str:
        """The event `lines`, which is as vLLM writes it, in this manner."""
        written: list[str] = [*self.fields.splitlines()]
        for line in lines.strip("\n").split("\n"):
            written += self._data(line[5:].strip()) if line.startswith("data:") else [line]
        ends = cycle(self.line_ends)
        text = "".join(line + next(ends) for line in [*self.before.split("\n")[:-1], *written])
        return text + "".join(next(ends) for _ in range(self.empty_lines))

    def _data(self, payload: str) -> Iterator[str]:
        if payload != "[DONE]" and (self.split_data or self.spaces):
            indent = 1 if self.split_data else None
            payload = json.dumps(json.loads(payload), ensure_ascii=False, indent=indent)
        for part in payload.split("\n"):
            yield self.data + part

    def stream(self, recorded: str) -> str:
        """A whole stream, which is as vLLM writes it, in this manner."""
        events = [self.event(event) for event in recorded.split("\n\n") if event.strip()]
        text = self.mark + "".join(events)
        return text.rstrip("\r\n") + self.line_ends[0] if self.ends_early else text

    def steps(self, steps: list[Step]) -> list[Step]:
        """The events of vLLM's stream with this server's idea of usage."""
        if self.usage == "as asked" or "choices" not in steps[0].payload:
            return steps
        total = steps[-1].payload["usage"] if not steps[-1].payload["choices"] else None
        if total is None:
            return steps
        bare = [replace(s, payload={k: v for k, v in s.payload.items() if k != "usage"}) for s in steps]
        *chunks, end = bare
        if self.usage == "null until the end":
            return [*(with_usage(chunk, None) for chunk in chunks), steps[-1]]
        if self.usage == "decimal":
            return [*chunks, with_usage(end, {k: float(v) for k, v in total.items() if isinstance(v, int)})]
        if self.usage == "with the finish":
            chunks[-1] = with_usage(chunks[-1], total)
        return chunks


def with_usage(step: Step, usage: Any) -> Step:
    """The event with this `usage`."""
    return replace(step, payload=step.payload | {"usage": usage})


MANNERS = {
    "vllm": Manner(),
    "crlf": Manner(line_ends=("\r\n",)),
    "cr": Manner(line_ends=("\r",)),
    "mixed line ends": Manner(line_ends=("\r\n", "\n", "\n")),
    "no space": Manner(data="data:"),
    "byte order mark": Manner(mark="\ufeff", line_ends=("\r\n",)),
    "comments": Manner(before=": keep-alive\n\n"),
    "comments inside": Manner(fields=": a note\nid: 7\nretry: 3000\n"),
    "events without data": Manner(before="event: ping\n\nid: 8\n\ndata:\n\n"),
    "empty lines": Manner(empty_lines=4),
    "split data": Manner(split_data=True),
    "split data crlf": Manner(split_data=True, line_ends=("\r\n",), data="data:"),
    "spaces": Manner(spaces=True),
    "ends early": Manner(ends_early=True),
    "media type": Manner(content_type="Text/Event-Stream;charset=UTF-8"),
    "no media type": Manner(content_type=""),
    "extended chunks": Manner(framing="extended chunks"),
    "one chunk": Manner(framing="one chunk"),
    "trailer": Manner(framing="trailer"),
    "close": Manner(framing="close"),
    "null usage": Manner(usage="null until the end"),
    "usage with the finish": Manner(usage="with the finish"),
    "decimal usage": Manner(usage="decimal"),
    "no usage": Manner(usage="never"),
    "plain": Manner(plain=True),
}
"""By what is odd about them."""


def combined(*names: str) -> Manner:
    """Several manners at once; of two that exclude each other the later one holds."""
    changed: dict[str, Any] = {}
    for name in names:
        manner = MANNERS[name]
        changed |= {k: v for k, v in vars(manner).items() if v != getattr(MANNERS["vllm"], k)}
    return replace(MANNERS["vllm"], **changed)
