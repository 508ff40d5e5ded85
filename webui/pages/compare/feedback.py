"""비교 / Compare: votes, ratings, the prompt preview and files."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from common.feedback import Choice, Rating, Vote
from webui.conversation import Mark, dump, history
from webui.failures import Failure, advice, headline
from webui.gateway_client import GatewayClient, GatewayError
from webui.pages.compare.export import Comparison, as_json, as_markdown, pair_key
from webui.pages.compare.layout import ComparePage, Pane
from webui.pages.compare.state import load_kept
from webui.pages.compare.view import CompareView
from webui.pages.parts import Updates, lang_of, setup_of
from webui.render import failure_card, inline
from webui.texts import Lang, text

# Saves a file without the server ever writing the conversation to its disk.
SAVE_FILE_JS = """(file) => {
  if (!file) return;
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([file.text], {type: file.type}));
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}"""


class CompareFeedback:
    """Listeners that judge and keep what both sides said."""

    def __init__(self, page: ComparePage, client: GatewayClient, view: CompareView) -> None:
        self.page = page
        self.client = client
        self.view = view

    def vote(self, choice: Choice) -> Callable[..., Any]:
        """Store which answer is better, then show hidden names."""

        async def listener(request: gr.Request, *rest: Any) -> Updates:
            lang, kept, (left, right) = lang_of(request), load_kept(rest[:5]), rest[5:]
            pair = pair_key(kept.left.last, kept.right.last)
            whole = all(side.last is not None and side.last.complete for side in (kept.left, kept.right))
            if not whole or pair in kept.shared.votes:
                return {self.page.vote_note: gr.skip()}
            vote = Vote(
                choice=choice,
                left=kept.left.judged(),
                right=kept.right.judged(),
                blind=kept.shared.hidden,
                locale=lang,
                rater_id=kept.shared.rater_id,
            )
            try:
                await self.client.send_vote(pair, vote)
            except GatewayError as error:
                return {self.page.vote_note: _not_saved(error.failure, lang)}
            votes = {**kept.shared.votes, pair: choice}
            shared = kept.shared.model_copy(update={"votes": votes, "hidden": False})
            updates: Updates = {self.page.shared: dump(shared)}
            updates |= self.view.common(shared, kept.left, kept.right, lang)
            updates |= {pane.show_prompt: gr.update(visible=True) for pane in self.page.panes}
            return updates | self.view.status(shared, left, right, lang)

        return listener

    def rate(self, pane: Pane) -> Callable[..., Any]:
        """Store one side's score and tags; again whenever one of them changes."""

        async def listener(
            request: gr.Request, score: int | None, tags: list[Any] | None, *rest: Any
        ) -> Updates:
            lang, kept = lang_of(request), load_kept(rest)
            side, marks = kept.side(pane), kept.left_marks if pane.name == "left" else kept.right_marks
            turn = side.last
            if turn is None or not turn.complete or score is None:
                return {pane.rating_note: gr.skip()}
            mark = Mark(score=score, tags=tuple(tags or ()))
            rating = Rating(
                score=mark.score,
                tags=list(mark.tags),
                answer=side.judged(),
                blind=kept.shared.hidden,
                locale=lang,
                rater_id=kept.shared.rater_id,
            )
            try:
                await self.client.send_rating(turn.id, rating)
            except GatewayError as error:
                return {pane.rating_note: _not_saved(error.failure, lang)}
            stored = {key: dump(value) for key, value in {**marks, turn.id: mark}.items()}
            return {pane.marks: stored, pane.rating_note: text(lang, "rating_saved", score=score)}

        return listener

    def show_prompt(self, pane: Pane) -> Callable[..., Any]:
        """The exact prompt of the question in the box, or of the last one asked."""

        async def listener(request: gr.Request, question: str | None, *rest: Any) -> Updates:
            lang, kept, setup = lang_of(request), load_kept(rest[:5]), setup_of(rest[5:], self.view.cache)
            side, hidden = kept.side(pane), kept.shared.hidden
            if hidden or setup is None or not (side.turns or (question or "").strip()):
                return {pane.prompt_box: gr.skip()}
            if (question or "").strip():
                model, messages = setup.model, history(side.turns, setup.system, (question or "").strip())
            else:
                model, messages = side.turns[-1].setup.model, side.messages()
            shown: Updates = {pane.prompt_box: gr.update(visible=True)}
            try:
                prompt = await self.client.prompt(model, messages)
            except GatewayError as error:
                card = failure_card(error.failure, lang, names_hidden=hidden)
                return shown | {pane.prompt_info: card, pane.prompt: gr.update(visible=False)}
            info = text(lang, "prompt_tokens", tokens=f"{prompt.token_count:,}", model=model)
            return shown | {
                pane.prompt_info: inline(info),
                pane.prompt: gr.update(value=prompt.prompt, visible=True),
            }

        return listener

    def save(self, kind: str) -> Callable[..., Any]:
        """Hand the whole comparison to the browser as a file: `markdown` or `json`."""

        async def listener(request: gr.Request, *stored: Any) -> Updates:
            lang, kept = lang_of(request), load_kept(stored)
            if not kept.left.turns and not kept.right.turns:
                return {self.page.download: None}
            comparison = Comparison(
                left=kept.left,
                right=kept.right,
                marks={**kept.left_marks, **kept.right_marks},
                votes=kept.shared.votes,
                names_hidden=kept.shared.hidden,
            )
            if kind == "json":
                file = {"name": "comparison.json", "type": "application/json", "text": as_json(comparison)}
            else:
                words = as_markdown(comparison, lang)
                file = {"name": "comparison.md", "type": "text/markdown", "text": words}
            return {self.page.download: file}

        return listener


def _not_saved(failure: Failure, lang: Lang) -> str:
    words = text(lang, "not_saved", headline=headline(failure, lang), advice=advice(failure, lang))
    return f'<span class="kd-bad" role="alert">{inline(words)}</span>'
