"""비교 / Compare: votes, ratings and the prompt preview."""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from common.feedback import Choice, Rating, Vote
from webui.comparison_votes import comparison_key, pair_votes
from webui.conversation import ComparisonChoice, Mark, Side, history, with_context
from webui.failures import Failure, advice, headline
from webui.gateway_client import GatewayClient, GatewayError
from webui.pages.compare.inputs import ComposedQuestion, Listener, Screen, with_question, with_screen
from webui.pages.compare.layout import ComparePage, Pane
from webui.pages.compare.state import choice_of, hidden_in, may_vote, side_of
from webui.pages.compare.view import CompareView
from webui.pages.parts import Updates, lang_of, user_in
from webui.render import failure_card, inline
from webui.store.conversations import Conversation
from webui.store.page_store import PageStore
from webui.texts import Lang, text


class CompareFeedback:
    """Listeners that judge what the sides said."""

    def __init__(self, page: ComparePage, client: GatewayClient, store: PageStore, view: CompareView) -> None:
        self.page = page
        self.client = client
        self.store = store
        self.view = view

    def vote(self, choice: ComparisonChoice) -> Listener:
        """Store which answer is the best, then show hidden names. Another choice replaces it, and counts as
        one that was made with the names in sight."""

        async def handler(request: gr.Request, screen: Screen) -> Updates:
            user, lang, page, kept = user_in(request), lang_of(request), self.page, self.store.conversations
            found = await kept.get(user, screen.shown, "compare") if screen.shown else None
            if found is None or not may_vote(found) or choice_of(found) == choice:
                return {page.vote.note: gr.skip()}
            about = {"blind": found.hidden, "locale": lang, "rater_id": await self.store.users.rater_id(user)}
            try:
                await self._send(found, choice, about)
            except GatewayError as error:
                return {page.vote.note: _not_saved(error.failure, lang)}
            key = comparison_key(side.last for side in found.sides.values())
            voted = await kept.vote(user, found.id, key, choice)
            updates = self.view.common(voted, lang)
            for pane in self.view.panes(voted):
                updates[pane.chat] = self.view.chat(pane, voted, lang, hidden=False)
                updates[pane.show_prompt] = gr.update(visible=True)
            return updates | self.view.status(screen.models, lang, hidden=False)

        return with_screen(self.page, handler)

    async def _send(self, found: Conversation, choice: ComparisonChoice, about: Mapping[str, Any]) -> None:
        """What the choice says of each two answers; what was said of others before is taken back."""

        def vote(between: Choice, left: Side, right: Side) -> Vote:
            return Vote(choice=between, left=left.judged(), right=right.judged(), **about)

        made = pair_votes(found.sides, choice, vote)
        for vote_id in made.unsaid:
            await self.client.delete_vote(vote_id)
        for vote_id, said in made.votes.items():
            await self.client.send_vote(vote_id, said)

    def rate(self, pane: Pane) -> Listener:
        """Store one side's score and tags; again whenever one of them changes."""

        async def listener(
            request: gr.Request, score: int | None, tags: list[Any] | None, shown: str | None
        ) -> Updates:
            user, lang = user_in(request), lang_of(request)
            found = await self.store.conversations.get(user, shown, "compare") if shown else None
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
            found = await self.store.conversations.get(user, shown, "compare") if shown else None
            side, hidden = side_of(found, pane.name), hidden_in(found)
            setup = asked.setups.get(pane.name)
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
