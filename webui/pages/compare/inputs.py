"""What the reader has set on the comparison page: typed values out of what the browser sent."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from webui.conversation import Setup
from webui.pages.compare.layout import ComparePage, Pane
from webui.pages.parts import Updates
from webui.status_cache import StatusCache

Listener = Callable[..., Awaitable[Updates]]


@dataclass(frozen=True)
class Screen:
    """What stands on the page around the answers."""

    shown: str | None
    """Id of the comparison; None before its first question."""
    names_hidden: bool
    blind: bool
    """The switch: the next new comparison hides the names."""
    listed: Sequence[str]
    """Models that the pickers list."""
    left: str | None
    right: str | None

    @property
    def hidden(self) -> bool:
        """Before the first question the switch alone hides the names, so that a refresh on its way while the
        question goes out does not show them again."""
        return self.names_hidden or (self.blind and self.shown is None)

    def model(self, pane: Pane) -> str | None:
        """The model that is chosen in the pane."""
        return self.left if pane.name == "left" else self.right


@dataclass(frozen=True)
class ComposedQuestion:
    """The question in the box with its context, and what both sides are set to."""

    question: str
    context: str
    shown: str | None
    """As in `Screen`."""
    blind: bool
    left: Setup | None
    right: Setup | None


def screen_parts(page: ComparePage) -> set[Any]:
    """The inputs of listeners that take a Screen."""
    return {page.shown, page.names_hidden, page.toolbar.blind, page.model_list, *pickers(page)}


def question_parts(page: ComparePage) -> set[Any]:
    """The inputs of listeners that take a ComposedQuestion."""
    setups = (part for pane in page.panes for part in pane.setup.all)
    return {page.composer.question, page.composer.context, page.toolbar.blind, page.shown, *setups}


def pickers(page: ComparePage) -> list[Any]:
    """Both pickers, the left one first."""
    return [pane.picker for pane in page.panes]


def with_screen(page: ComparePage, handler: Callable[[gr.Request, Screen], Awaitable[Updates]]) -> Listener:
    """The listener that hands `handler` its Screen."""

    async def listener(request: gr.Request, values: Mapping[Any, Any]) -> Updates:
        left, right = (values[picker] for picker in pickers(page))
        screen = Screen(
            shown=values[page.shown] or None,
            names_hidden=bool(values[page.names_hidden]),
            blind=bool(values[page.toolbar.blind]),
            listed=tuple(values[page.model_list]),
            left=left,
            right=right,
        )
        return await handler(request, screen)

    return listener


def with_question(
    page: ComparePage,
    cache: StatusCache,
    handler: Callable[[gr.Request, ComposedQuestion], Awaitable[Updates]],
) -> Listener:
    """The listener that hands `handler` the question in the box and both sides' settings."""

    async def listener(request: gr.Request, values: Mapping[Any, Any]) -> Updates:
        left, right = (pane.setup.read(values, cache) for pane in page.panes)
        asked = ComposedQuestion(
            question=str(values[page.composer.question] or "").strip(),
            context=str(values[page.composer.context] or "").strip(),
            shown=values[page.shown] or None,
            blind=bool(values[page.toolbar.blind]),
            left=left,
            right=right,
        )
        return await handler(request, asked)

    return listener


def with_setup(
    page: ComparePage,
    pane: Pane,
    cache: StatusCache,
    handler: Callable[[gr.Request, str | None, Setup | None], Awaitable[Updates]],
) -> Listener:
    """The listener that hands `handler` the id of the comparison and the settings of one side."""

    async def listener(request: gr.Request, values: Mapping[Any, Any]) -> Updates:
        return await handler(request, values[page.shown] or None, pane.setup.read(values, cache))

    return listener
