"""비교 / Compare: which listener belongs to which component."""

from typing import Any

import gradio as gr

from webui.page_compare import ComparePage, Pane
from webui.page_compare_events import CompareEvents
from webui.page_compare_feedback import SAVE_FILE_JS, CompareFeedback
from webui.page_parts import on


def wire_compare(demo: gr.Blocks, page: ComparePage, events: CompareEvents) -> None:
    """Attach every listener of the page."""
    feedback = CompareFeedback(page, events.client, events.view)
    pickers = [page.left.picker, page.right.picker]
    setups = [*page.left.setup, *page.right.setup]
    status = [page.banner, page.hint, page.left.chip, page.right.chip]
    lists = [*pickers, page.model_list]
    common = _common(page)
    sides = [part for pane in page.panes for part in _side(pane)]
    whole = [*page.stores, *common, *sides, *status]

    on(demo.load, events.load, page.stores, [*whole, *setups, page.model_list, page.question])
    on(page.timer.tick, events.refresh, [page.shared, *lists], [*status, *setups, page.model_list])
    for pane in page.panes:
        sliders = pane.setup[2:]
        on(pane.picker.input, events.picked(pane), [page.shared, *pickers], [*status, *sliders])

    asked = on(
        [page.question.submit, page.send.click],
        events.begin,
        [page.question, page.blind, *page.stores, *setups],
        [page.question, *whole, *setups],
    )
    for pane in page.panes:
        _fetch(page, events, pane, asked, common)
        retried = on(
            pane.retry.click,
            events.retry(pane),
            [*page.stores, *pane.setup],
            [page.question, pane.store, *_side(pane), *common],
        )
        _fetch(page, events, pane, retried, common)
        rated = [pane.marks, pane.rating_note]
        changed = [pane.score.input, pane.tags.input]
        # A score and a tag clicked in quick succession: the second call carries both.
        rating = [pane.score, pane.tags, *page.stores]
        on(changed, feedback.rate(pane), rating, rated, trigger_mode="always_last")
        preview = [pane.prompt_box, pane.prompt_info, pane.prompt]
        inputs = [page.question, *page.stores, *pane.setup]
        on(pane.show_prompt.click, feedback.show_prompt(pane), inputs, preview)

    on(page.stop.click, events.stop, page.stores, [*page.stores[1:3], *common, *sides])
    on(page.clear.click, events.clear, [page.shared, *pickers], whole)
    on(page.blind.input, events.blind, [page.blind, *page.stores, *pickers], whole)
    voted = [page.shared, *common, *status, page.left.show_prompt, page.right.show_prompt]
    for choice, button in page.votes.items():
        on(button.click, feedback.vote(choice), [*page.stores, *pickers], voted)
    for kind, button in (("markdown", page.save_markdown), ("json", page.save_json)):
        saved = on(button.click, feedback.save(kind), page.stores, [page.download])
        saved.then(None, [page.download], None, js=SAVE_FILE_JS, api_visibility="private")
    on(page.examples.click, _take_example, [page.examples], [page.question])


async def _take_example(sample: list[str]) -> str:
    return sample[0]


def _fetch(page: ComparePage, events: CompareEvents, pane: Pane, after: Any, common: list[Any]) -> None:
    """Fetch one side's answer after `after`, then settle the page."""
    outputs = [pane.store, *_side(pane)]
    fetched = on(after.then, events.fetch(pane), [pane.store, page.shared], outputs)
    on(fetched.then, events.settle, page.stores, common)


def _common(page: ComparePage) -> list[Any]:
    buttons = [page.send, page.stop, page.clear, page.save_markdown, page.save_json]
    vote = [page.vote_box, page.vote_note, *page.votes.values()]
    return [*buttons, page.blind, page.examples, *vote, *(pane.setup_box for pane in page.panes)]


def _side(pane: Pane) -> list[Any]:
    rating = [pane.rating_box, pane.score, pane.tags, pane.rating_note]
    prompt = [pane.show_prompt, pane.prompt_box]
    return [pane.chat, pane.metrics, pane.notice, pane.actions, *rating, *prompt]
