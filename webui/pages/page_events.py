"""POST /page/events/NAME: events of the pages that a route of the web UI answers.

For Gradio's browser side such an event is a script's alone: it hands over what the inputs hold, and changes
the outputs as it is told. Between the two `assets/composer.js` asks this route. What Gradio's server does
around a listener costs as much as the listener itself: too much for what happens at every question.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response
from gradio.blocks import Block

from common.doors import door
from webui.pages.parts import Updates, told_failures
from webui.pages.stateless import UNCHANGED, told

EVENT_BYTES = 4 * 1024 * 1024
"""Largest event: a question with its context, and what all panes are set to."""

_NUMBER = (int, float)
_HELD: Mapping[str, type | tuple[type, ...]] = {
    "Textbox": str,
    "Dropdown": str,
    "Radio": (str, *_NUMBER),
    "Checkbox": bool,
    "CheckboxGroup": list,
    "Number": _NUMBER,
    "Slider": _NUMBER,
}
"""What inputs of Gradio's classes hold, beside nothing at all."""


@dataclass(frozen=True)
class PageEvent:
    """What happens on a page, and what it changes there."""

    listener: Callable[..., Awaitable[Updates]]
    inputs: Sequence[Block]
    by_part: bool
    """The listener takes the values by component."""
    outputs: Sequence[Block]

    def could_have(self, values: Sequence[Any]) -> bool:
        """Whether a page's inputs can hold such values."""
        return len(values) == len(self.inputs) and all(
            value is None or isinstance(value, _HELD.get(type(part).__name__, object))
            for part, value in zip(self.inputs, values, strict=True)
        )

    async def answer(self, request: gr.Request, values: Sequence[Any]) -> list[tuple[int, int, Any]]:
        """What changes: place among the outputs, the component's id, its change. `values`: as many as
        inputs."""
        given = [dict(zip(self.inputs, values, strict=True))] if self.by_part else values
        updates = await self.listener(request, *given)
        if updates == gr.skip():
            return []
        places = {part: at for at, part in enumerate(self.outputs)}
        changed = ((places[part], part._id, told(part, value)) for part, value in updates.items())
        return [change for change in changed if change[2] != UNCHANGED]


class PageEvents:
    """Those of all pages, by name."""

    def __init__(self) -> None:
        self._events: dict[str, PageEvent] = {}

    def on(
        self,
        name: str,
        triggers: Any,
        listener: Callable[..., Awaitable[Updates]],
        inputs: Sequence[Any] | set[Any],
        outputs: Sequence[Any],
        *,
        given: str = "given",
        again: bool = False,
        quiet: bool = False,
        draws: bool = False,
    ) -> Any:
        """Attach a listener, which returns updates by component; with a set of inputs it gets their values by
        component. A store that fails is told in one sentence, and what is on the screen stays.

        given: a script's expression of the inputs' values; those of a set are `ordered`. While the event is
        answered, the same one is left out; with `again` it happens once more afterwards. With `quiet` nothing
        is said when the web UI does not answer. Those that draw a conversation happen in the order in which
        they were asked for, each with what those before it have changed: no late answer draws over a newer.
        """
        parts = ordered(inputs) if isinstance(inputs, set) else list(inputs)
        by_part = isinstance(inputs, set)
        self._events[name] = PageEvent(told_failures(listener), parts, by_part, list(outputs))
        read = [part._id for part in parts] if draws else None
        how = json.dumps({"again": again, "quiet": quiet, "read": read})
        js = f"(...given) => window.kodolly.event('{name}', {given}, {how})"
        options = {"js": js, "api_visibility": "private", "show_progress": "hidden", "queue": False}
        if isinstance(triggers, list):
            return gr.on(triggers, None, parts, list(outputs), **options)
        return triggers(None, parts, list(outputs), **options)

    def add_route(self, app: FastAPI) -> None:
        """Put the route into `app`."""

        @door("public", body_bytes=EVENT_BYTES)
        async def event(request: Request) -> Response:
            found, values = self._events.get(request.path_params["name"]), _values(await request.body())
            if found is None or not found.could_have(values):
                return PlainTextResponse("The page is of another version: load it anew.", 400)
            changed = await found.answer(gr.Request(request), values)
            return Response(msgspec.json.encode(changed), media_type="application/json")

        # Starlette's route: FastAPI's takes longer to find that nothing is to be checked.
        app.add_route("/page/events/{name}", event, methods=["POST"])


def _values(body: bytes) -> list[Any]:
    """Nothing for what is no list in JSON. Half a character, which browsers send, is for `told_failures`."""
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        return []
    return values if isinstance(values, list) else []


def ordered(parts: set[Any]) -> list[Any]:
    """The order in which the page sends the values of a set of inputs."""
    return sorted(parts, key=lambda part: part._id)
