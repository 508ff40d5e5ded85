"""비교 / Compare: which listener belongs to which component."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from webui.gateway_client import GatewayClient
from webui.pages.compare.events import CompareEvents
from webui.pages.compare.feedback import CompareFeedback
from webui.pages.compare.inputs import question_parts, screen_parts, with_question, with_screen
from webui.pages.compare.layout import ComparePage, Pane
from webui.pages.compare.resize import resize
from webui.pages.conversation_list import ListEvents
from webui.pages.export_buttons import wire_export
from webui.pages.page_events import PageEvents
from webui.pages.parts import (
    clear_composer,
    keep_address,
    on,
    open_composer,
    refresh_on_return,
    stop_on_escape,
)


@dataclass(frozen=True)
class Outputs:
    """Groups of components that listeners change together."""

    page: ComparePage

    @property
    def status(self) -> list[Any]:
        page = self.page
        return [page.banner, page.hint, page.timer, *(pane.chip for pane in page.panes)]

    @property
    def setups(self) -> list[Any]:
        return [part for pane in self.page.panes for part in pane.setup.all]

    @property
    def presets(self) -> list[Any]:
        return [part for pane in self.page.panes for part in pane.setup.presets.all]

    @property
    def common(self) -> list[Any]:
        page = self.page
        boxes = [pane.setup_box for pane in page.panes]
        buttons = [page.composer.send, page.composer.stop, *page.toolbar.all]
        return [page.names_hidden, *buttons, page.examples, *page.vote.all, *boxes]

    def side(self, pane: Pane) -> list[Any]:
        rating = [pane.rating_box, pane.score, pane.tags, pane.rating_note]
        prompt = [pane.show_prompt, pane.prompt_box]
        return [pane.chat, pane.actions, *rating, *prompt, *pane.revise.all]

    @property
    def whole(self) -> list[Any]:
        sides = [part for pane in self.page.panes for part in self.side(pane)]
        return [*self.common, *sides, *self.status]

    @property
    def layout(self) -> list[Any]:
        parts: list[Any] = [self.page.pane_count, self.page.tabs, self.page.model_list]
        for pane in self.page.panes:
            parts += [pane.box, pane.settings, pane.score, pane.tags, pane.prompt]
        return parts

    @property
    def everything(self) -> list[Any]:
        shown = {*self.whole, *self.layout, *self.setups, *self.presets, *self.page.conversations.all}
        return sorted(shown, key=lambda part: part._id)

    @property
    def refreshed(self) -> list[Any]:
        return [*self.status, *self.setups, self.page.model_list]


def wire_compare(
    demo: gr.Blocks, page: ComparePage, events: CompareEvents, client: GatewayClient, served: PageEvents
) -> None:
    """Attach every listener of the page."""
    out, shown = Outputs(page), page.shown
    seen = screen_parts(page)
    refresh = with_screen(page, events.refresh)
    keep_address(shown)
    everything = [*out.everything, *page.old]
    loaded = served.on("compare-load", demo.load, events.load, page.old, everything, draws=True)
    open_composer(loaded, page.composer.question)
    refresh_on_return(demo, "compare")
    stop_on_escape(demo, "compare")
    looking = [page.timer.tick, page.refresh.click]
    served.on("compare-refresh", looking, refresh, seen, out.refreshed, quiet=True)
    ListEvents(page.conversations, events.store, events.show).wire(served, out.everything)
    events.presets.wire()
    revise = {pane.name: pane.revise for pane in page.panes}
    events.revise.wire(served, revise, page.edit, shown, out.everything)
    wire_export(page.toolbar.files, events.store.conversations, shown)
    begin = with_question(page, events.cache, events.begin)
    asking = [page.composer.question.submit, page.composer.send.click]
    sent = [page.composer.asked, *out.everything]
    begun = served.on("compare-begin", asking, begin, question_parts(page), sent, draws=True)
    clear_composer(begun, page.composer)
    for pane in page.panes:
        on(pane.picker.input, events.picked(pane), seen, [*out.status, *pane.setup.sampling])
        given, retry = {shown, *pane.setup.all}, events.retry(pane)
        served.on(f"{pane.name}-retry", pane.retry.click, retry, given, out.everything, draws=True)
    ended = [*out.whole, *page.conversations.all]
    ending = page.settled.click
    settled = served.on("compare-settle", ending, events.settle, [shown], ended, again=True, draws=True)
    served.on("compare-look", settled.then, refresh, seen, out.refreshed, quiet=True)
    served.on("compare-stop", page.composer.stop.click, events.stop, [shown], out.whole)
    _wire_toolbar(out, events, served)
    on(page.examples.click, _take_example, [page.examples], [page.composer.question])
    _wire_feedback(out, CompareFeedback(page, client, events.store, events.view), served)


def _wire_toolbar(out: Outputs, events: CompareEvents, served: PageEvents) -> None:
    page = out.page
    seen = screen_parts(page)
    for name, button, listener in (
        ("clear", page.toolbar.clear, with_screen(page, events.clear)),
        ("add", page.toolbar.add, resize(events, 1)),
        ("remove", page.toolbar.remove, resize(events, -1)),
    ):
        served.on(f"compare-{name}", button.click, listener, seen, out.everything, draws=True)
    switched = page.toolbar.blind.input
    blind = with_screen(page, events.blind)
    served.on("compare-blind", switched, blind, seen, out.whole, again=True, draws=True)


def _wire_feedback(out: Outputs, feedback: CompareFeedback, served: PageEvents) -> None:
    page = out.page
    for pane in page.panes:
        # A score and a tag clicked in quick succession: the second call carries both.
        on(
            [pane.score.input, pane.tags.input],
            feedback.rate(pane),
            [pane.score, pane.tags, page.shown],
            [pane.rating_note],
            trigger_mode="always_last",
        )
        preview = [pane.prompt_box, pane.prompt_info, pane.prompt]
        on(pane.show_prompt.click, feedback.show_prompt(pane), question_parts(page), preview)
    voted = [*out.common, *out.status]
    for pane in page.panes:
        voted += [pane.chat, pane.show_prompt]
    for of, choices in (("pair", page.vote.choices), ("best", page.vote.best)):
        for choice, button in choices.items():
            name, listener = f"compare-vote-{of}-{choice}", feedback.vote(choice)
            served.on(name, button.click, listener, screen_parts(page), voted, draws=True)


async def _take_example(sample: list[str]) -> str:
    return sample[0]
