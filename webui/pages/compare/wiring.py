"""비교 / Compare: which listener belongs to which component."""

from typing import Any

import gradio as gr

from webui.pages.compare.events import CompareEvents
from webui.pages.compare.feedback import SAVE_FILE_JS, CompareFeedback
from webui.pages.compare.layout import ComparePage, Pane
from webui.pages.parts import on, refresh_on_return


def wire_compare(demo: gr.Blocks, page: ComparePage, events: CompareEvents) -> None:
    """Attach every listener of the page."""
    pickers = [page.left.picker, page.right.picker]
    setups = [*page.left.setup, *page.right.setup]
    status = [page.banner, page.hint, page.left.chip, page.right.chip, page.timer]
    sides = [part for pane in page.panes for part in _side(pane)]
    whole = [*page.stores, *_common(page), *sides, *status]
    blind, clear, _, _ = page.toolbar

    on(demo.load, events.load, page.stores, [*whole, *setups, page.model_list, page.question])
    seen = [page.shared, *pickers, page.model_list]
    refresh_on_return(demo, "compare")
    on([page.timer.tick, page.refresh.click], events.refresh, seen, [*status, *setups, page.model_list])
    asked = on(
        [page.question.submit, page.send.click],
        events.begin,
        [page.question, blind, *page.stores, *setups],
        [page.question, *whole, *setups],
    )
    for pane in page.panes:
        on(pane.picker.input, events.picked(pane), [page.shared, *pickers], [*status, *pane.setup[2:]])
        _fetch(page, events, pane, asked, seen, [*status, *setups, page.model_list])
        retried = on(
            pane.retry.click,
            events.retry(pane),
            [*page.stores, *pane.setup],
            [page.question, pane.store, *_side(pane), *_common(page)],
        )
        _fetch(page, events, pane, retried, seen, [*status, *setups, page.model_list])
    on(page.stop.click, events.stop, page.stores, [*page.stores[1:3], *_common(page), *sides])
    on(clear.click, events.clear, [page.shared, *pickers], whole)
    on(blind.input, events.blind, [blind, *page.stores, *pickers], whole)
    on(page.examples.click, _take_example, [page.examples], [page.question])
    _wire_feedback(page, CompareFeedback(page, events.client, events.view), pickers, status)


def _wire_feedback(
    page: ComparePage, feedback: CompareFeedback, pickers: list[Any], status: list[Any]
) -> None:
    for pane in page.panes:
        # A score and a tag clicked in quick succession: the second call carries both.
        on(
            [pane.score.input, pane.tags.input],
            feedback.rate(pane),
            [pane.score, pane.tags, *page.stores],
            [pane.marks, pane.rating_note],
            trigger_mode="always_last",
        )
        preview = [pane.prompt_box, pane.prompt_info, pane.prompt]
        asked = [page.question, *page.stores, *pane.setup]
        on(pane.show_prompt.click, feedback.show_prompt(pane), asked, preview)
    voted = [page.shared, *_common(page), *status, page.left.show_prompt, page.right.show_prompt]
    for choice, button in page.votes.items():
        on(button.click, feedback.vote(choice), [*page.stores, *pickers], voted)
    _, _, markdown, json = page.toolbar
    for kind, button in (("markdown", markdown), ("json", json)):
        saved = on(button.click, feedback.save(kind), page.stores, [page.download])
        saved.then(None, [page.download], None, js=SAVE_FILE_JS, api_visibility="private")


async def _take_example(sample: list[str]) -> str:
    return sample[0]


def _fetch(
    page: ComparePage, events: CompareEvents, pane: Pane, after: Any, seen: list[Any], shown: list[Any]
) -> None:
    """Fetch one side's answer after `after`, then settle the page and look at the models anew."""
    outputs = [pane.store, *_side(pane)]
    fetched = on(after.then, events.fetch(pane), [pane.store, page.shared], outputs)
    on(fetched.then, events.settle, page.stores, _common(page))
    on(fetched.then, events.refresh, seen, shown)


def _common(page: ComparePage) -> list[Any]:
    vote = [page.vote_box, page.vote_note, *page.votes.values()]
    setup_boxes = [pane.setup_box for pane in page.panes]
    return [page.send, page.stop, *page.toolbar, page.examples, *vote, *setup_boxes]


def _side(pane: Pane) -> list[Any]:
    rating = [pane.rating_box, pane.score, pane.tags, pane.rating_note]
    prompt = [pane.show_prompt, pane.prompt_box]
    return [pane.chat, pane.metrics, pane.notice, pane.actions, *rating, *prompt]
