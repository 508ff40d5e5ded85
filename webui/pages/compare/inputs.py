"""What the reader has set on the comparison page: typed values out of what the browser sent."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from webui.conversation import Setup
from webui.pages.compare.layout import FIRST, SIDES, ComparePage, Pane
from webui.pages.parts import Updates, names_in
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
    models: tuple[str | None, ...]
    """What is chosen in the panes that are shown."""

    @property
    def hidden(self) -> bool:
        """Before the first question the switch alone hides the names, so that a refresh on its way while the
        question goes out does not show them again."""
        return self.names_hidden or (self.blind and self.shown is None)

    @property
    def count(self) -> int:
        """Panes that are shown."""
        return len(self.models)


@dataclass(frozen=True)
class ComposedQuestion:
    """The question in the box with its context, and what the sides are set to."""

    question: str
    context: str
    shown: str | None
    """As in `Screen`."""
    blind: bool
    setups: Mapping[str, Setup | None]
    """By pane; None without a model."""


def screen_parts(page: ComparePage) -> set[Any]:
    """The inputs of listeners that take a Screen."""
    of_page = (page.shown, page.pane_count, page.names_hidden, page.toolbar.blind, page.model_list)
    return {*of_page, *(pane.picker for pane in page.panes)}


def question_parts(page: ComparePage) -> set[Any]:
    """The inputs of listeners that take a ComposedQuestion."""
    setups = (part for pane in page.panes for part in pane.setup.all)
    composed = (page.composer.question, page.composer.context, page.toolbar.blind)
    return {*composed, page.shown, page.pane_count, *setups}


def shown_count(kept: object) -> int:
    """How many panes to show, as a browser or a setting has it; as many as at first for anything else."""
    whole = isinstance(kept, (int, float)) and kept in range(FIRST, len(SIDES) + 1)
    return int(kept) if whole and isinstance(kept, (int, float)) else FIRST


def with_screen(page: ComparePage, handler: Callable[[gr.Request, Screen], Awaitable[Updates]]) -> Listener:
    """The listener that hands `handler` its Screen."""

    async def listener(request: gr.Request, values: Mapping[Any, Any]) -> Updates:
        panes = page.panes[: shown_count(values[page.pane_count])]
        screen = Screen(
            shown=values[page.shown] or None,
            names_hidden=bool(values[page.names_hidden]),
            blind=bool(values[page.toolbar.blind]),
            listed=tuple(names_in(values[page.model_list])),
            models=tuple(values[pane.picker] or None for pane in panes),
        )
        return await handler(request, screen)

    return listener


def with_question(
    page: ComparePage,
    cache: StatusCache,
    handler: Callable[[gr.Request, ComposedQuestion], Awaitable[Updates]],
) -> Listener:
    """The listener that hands `handler` the question in the box and all sides' settings."""

    async def listener(request: gr.Request, values: Mapping[Any, Any]) -> Updates:
        panes = page.panes[: shown_count(values[page.pane_count])]
        asked = ComposedQuestion(
            question=str(values[page.composer.question] or "").strip(),
            context=str(values[page.composer.context] or "").strip(),
            shown=values[page.shown] or None,
            blind=bool(values[page.toolbar.blind]),
            setups={pane.name: pane.setup.read(values, cache) for pane in panes},
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
