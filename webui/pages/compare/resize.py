"""비교 / Compare: one model more or less."""

import gradio as gr

from webui.choices import another_model
from webui.notices import tell
from webui.pages.compare.events import COUNT, CompareEvents
from webui.pages.compare.inputs import Listener, Screen, with_screen
from webui.pages.compare.layout import FIRST, SIDES
from webui.pages.parts import Updates, lang_of, user_in
from webui.texts import text


def resize(events: CompareEvents, by: int) -> Listener:
    """The listener that makes a new comparison with `by` panes more, and the same models."""
    page, view = events.page, events.view

    async def handler(request: gr.Request, screen: Screen) -> Updates:
        lang, count = lang_of(request), min(max(screen.count + by, FIRST), len(SIDES))
        await events.store.users.set(user_in(request), COUNT, count)
        models = list(screen.models[:count])
        updates = await events.draw(request, None, count) | view.layout(count, lang)
        for pane in page.panes[screen.count : count]:
            models.append(another_model(events.cache.models, models))
            setup = events.fresh_setup(models[-1])
            updates |= (pane.setup.show(setup) if setup else {}) | pane.setup.presets.cleared()
        if screen.shown:
            tell(text(lang, "panes_new", count=count))
        updates |= view.pickers(models, lang, screen.listed)
        return updates | view.status(models, lang, hidden=screen.blind)

    return with_screen(page, handler)
