"""비교 / Compare: votes, ratings and the prompt preview."""

from typing import Any

import gradio as gr

from common.feedback import Choice, Rating, Vote
from webui.conversation import Mark, history, with_context
from webui.failures import Failure, advice, headline
from webui.gateway_client import GatewayClient, GatewayError
from webui.pages.compare.inputs import ComposedQuestion, Listener, with_question
from webui.pages.compare.layout import ComparePage, Pane
from webui.pages.compare.state import hidden_in, side_of
from webui.pages.compare.view import CompareView
from webui.pages.export import pair_key
from webui.pages.parts import Updates, lang_of, user_in
from webui.render import failure_card, inline
from webui.store.page_store import PageStore
from webui.texts import Lang, text


class CompareFeedback:
    """Listeners that judge what both sides said."""

    def __init__(self, page: ComparePage, client: GatewayClient, store: PageStore, view: CompareView) -> None:
        self.page = page
        self.client = client
        self.store = store
        self.view = view

    def vote(self, choice: Choice) -> Listener:
        """Store which answer is better, then show hidden names. Another choice replaces it, and counts as one
        that was made with the names in sight."""

        async def listener(
            request: gr.Request, shown: str | None, left_model: str | None, right_model: str | None
        ) -> Updates:
            user, lang, page = user_in(request), lang_of(request), self.page
            found = await self.store.conversations.get(user, shown) if shown else None
            left, right = side_of(found, "left"), side_of(found, "right")
            pair = pair_key(left.last, right.last)
            whole = all(side.last is not None and side.last.complete for side in (left, right))
            if found is None or not whole or found.votes.get(pair) == choice:
                return {page.vote_note: gr.skip()}
            vote = Vote(
                choice=choice,
                left=left.judged(),
                right=right.judged(),
                blind=found.hidden,
                locale=lang,
                rater_id=await self.store.users.rater_id(user),
            )
            try:
                await self.client.send_vote(pair, vote)
            except GatewayError as error:
                return {page.vote_note: _not_saved(error.failure, lang)}
            voted = await self.store.conversations.vote(user, found.id, pair, choice)
            updates = self.view.common(voted, lang)
            for pane in page.panes:
                updates[pane.chat] = self.view.chat(pane, voted, lang, hidden=False)
                updates[pane.show_prompt] = gr.update(visible=True)
            return updates | self.view.status(left_model, right_model, lang, hidden=False)

        return listener

    def rate(self, pane: Pane) -> Listener:
        """Store one side's score and tags; again whenever one of them changes."""

        async def listener(
            request: gr.Request, score: int | None, tags: list[Any] | None, shown: str | None
        ) -> Updates:
            user, lang = user_in(request), lang_of(request)
            found = await self.store.conversations.get(user, shown) if shown else None
            side = side_of(found, pane.name)
            turn = side.last
            if found is None or turn is None or not turn.complete:
                return {pane.rating_note: gr.skip()}
            mark = Mark(score=score, tags=tuple(tags or ()))
            if score is None:
                await self.store.opinions.keep(user, turn.id, mark)
                return {pane.rating_note: text(lang, "rating_needs_score")}
            rating = Rating(
                score=score,
                tags=list(mark.tags),
                answer=side.judged(),
                blind=found.hidden,
                locale=lang,
                rater_id=await self.store.users.rater_id(user),
            )
            try:
                await self.client.send_rating(turn.id, rating)
            except GatewayError as error:
                return {pane.rating_note: _not_saved(error.failure, lang)}
            await self.store.opinions.keep(user, turn.id, mark)
            return {pane.rating_note: text(lang, "rating_saved", score=score)}

        return listener

    def show_prompt(self, pane: Pane) -> Listener:
        """The exact prompt of the question in the box, or of the last one asked."""

        async def handler(request: gr.Request, asked: ComposedQuestion) -> Updates:
            user, lang, shown, question = user_in(request), lang_of(request), asked.shown, asked.question
            found = await self.store.conversations.get(user, shown) if shown else None
            side, hidden = side_of(found, pane.name), hidden_in(found)
            setup = asked.left if pane.name == "left" else asked.right
            if hidden or setup is None or not (side.turns or question):
                return {pane.prompt_box: gr.skip()}
            if question:
                words = with_context(question, asked.context)
                model, messages = setup.model, history(side.turns, setup.system, words)
            else:
                model, messages = side.turns[-1].setup.model, side.messages()
            opened: Updates = {pane.prompt_box: gr.update(visible=True)}
            try:
                prompt = await self.client.prompt(model, messages)
            except GatewayError as error:
                card = failure_card(error.failure, lang, names_hidden=hidden)
                return opened | {pane.prompt_info: card, pane.prompt: gr.update(visible=False)}
            info = text(lang, "prompt_tokens", tokens=f"{prompt.token_count:,}", model=model)
            return opened | {
                pane.prompt_info: inline(info),
                pane.prompt: gr.update(value=prompt.prompt, visible=True),
            }

        return with_question(self.page, self.view.cache, handler)


def _not_saved(failure: Failure, lang: Lang) -> str:
    words = text(lang, "not_saved", headline=headline(failure, lang), advice=advice(failure, lang))
    return f'<span class="kd-bad" role="alert">{inline(words)}</span>'
