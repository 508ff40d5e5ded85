"""Pieces that all pages are made of."""

import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import gradio as gr

from common.database import StoreFailed
from webui.conversation import QUESTION_CHARACTERS, Side
from webui.login.visitor import serving, visitor_of
from webui.notices import tell
from webui.pages.shortcuts import help_sheet
from webui.render import both, transcript
from webui.session import NoCookie, sender
from webui.status_cache import StatusCache
from webui.storable import storable_value
from webui.texts import Lang, language, text

logger = logging.getLogger(__name__)

# Fixed, so that a conversation outlives a restart. It hides nothing from the browser's owner.
STORAGE_SECRET = "kodolly-page-1"

Updates = dict[Any, Any]


def model_picker(label: Any, elem_id: str) -> gr.Dropdown:
    """A dropdown of model names. Its value may be older than its list, e.g. after a restart of this
    process: the gateway, not the list, says what exists (see `on`)."""
    return gr.Dropdown([], label=label, filterable=False, elem_id=elem_id)


def on(
    events: Any,
    fn: Callable[..., Any] | None,
    inputs: Sequence[Any] | set[Any],
    outputs: Sequence[Any],
    **options: Any,
) -> Any:
    """Attach a listener that is no public API endpoint and draws no spinner.

    It is one request and its answer: Gradio's queue would take a second one, held open, and no more than one
    event of a listener at once.

    With a set of inputs it gets their values by component. A store that fails is told in one sentence, and
    what is on the screen stays. What was chosen from a list comes as the browser sent it: Gradio would refuse
    what is not in the list that this process knows, and a process that was started anew knows none. So do
    numbers: Gradio ends in an error over a slider whose box was emptied.
    """
    options = {"api_visibility": "private", "show_progress": "hidden", "queue": False} | options
    given = inputs if isinstance(inputs, set) else list(inputs)
    if any(isinstance(each, (gr.Dropdown, gr.Radio, gr.Slider)) for each in given):
        options["preprocess"] = False
    listener = told_failures(fn) if fn is not None and "request" in inspect.signature(fn).parameters else fn
    if isinstance(events, list):
        return gr.on(events, listener, given, list(outputs), **options)
    return events(listener, given, list(outputs), **options)


def told_failures(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn`, whose first parameter is the request, with its failures told on the page. What a browser sends
    becomes storable."""

    @wraps(fn)
    async def once(request: gr.Request, *values: Any) -> Any:
        try:
            with serving(visitor_of(request.state)):
                return await fn(request, *(storable_value(value) for value in values))
        except (StoreFailed, NoCookie) as error:
            logger.warning("The page could not be served: %s", error)
            key = "store_failed" if isinstance(error, StoreFailed) else "no_cookie"
            tell(text(lang_of(request), key))
            return gr.skip()

    return once


def user_in(request: gr.Request) -> str:
    """The user's id. Raises NoCookie."""
    user = sender(request.headers.get("cookie"), request.state)
    if user is None:
        raise NoCookie("the browser sends no cookie")
    return user


def lang_of(request: gr.Request) -> Lang:
    """The reader's language, by the request's Accept-Language header."""
    return language(request.headers.get("accept-language"))


NAMES = {
    "compare": ("비교", "Compare"),
    "chat": ("채팅", "Chat"),
    "study": ("평가", "Study"),
    "results": ("결과", "Results"),
    "documents": ("문서", "Documents"),
    "models": ("모델", "Models"),
}
"""Of the pages, in the order of their links."""
TITLED = frozenset({"results", "documents"})
"""Pages whose own content begins with their title."""


def header(page: str) -> gr.HTML:
    """Name and links. Both languages are in it; the style sheet shows the one of the page."""
    links = ""
    for name, words in NAMES.items():
        current = ' aria-current="page"' if name == page else ""
        path = "" if name == "compare" else name
        links += f'<a id="nav-{name}" href="./{path}"{current}>{both(*words)}</a>'
    links += f'<a id="nav-admin" class="kd-admin" href="./admin">{both("관리", "Admin")}</a>'
    links += f'<a id="nav-account" class="kd-account" href="./login">{both("계정", "Account")}</a>'
    brand = '<a class="kd-brand" href="./">kodolly<span lang="ko">코돌리</span></a>'
    title = "" if page in TITLED else f'<h1 class="kd-unseen">{both(*NAMES[page])}</h1>'
    inside = f"{brand}{title}<nav>{links}</nav>{help_sheet(page)}"
    return gr.HTML(f'<header class="kd-header">{inside}</header>', elem_id=f"{page}-header")


def conversation_pane(page: str, pane: str) -> gr.HTML:
    """What is asked and answered in one pane, with the figures of the newest answer."""
    empty = transcript(pane, page, Side(), "", hidden=False)
    return gr.HTML(empty, elem_id=f"{pane}-transcript", elem_classes="kd-transcript", padding=False)


def settled_button(page: str) -> gr.Button:
    """What the browser presses when an answer that the page shows as coming has ended."""
    return gr.Button(visible="hidden", elem_id=f"{page}-settled")


@dataclass(frozen=True)
class Composer:
    """Where a question is written: its context above, send and stop beside it."""

    context: gr.Textbox
    """The text that the next question is about."""
    question: gr.Textbox
    send: gr.Button
    stop: gr.Button
    asked: gr.JSON
    """The question that went out last with its context, and the id of an answer to it."""


def asking_area() -> gr.Column:
    """What stays at the bottom of the window, whatever is scrolled."""
    return gr.Column(elem_classes="kd-asking")


def composer(t: gr.I18n, page: str, hint: str, *, attach: bool = False) -> Composer:
    """Lay it out, within an `asking_area`; with `attach` files can go along (`assets/attach.js`). Gradio's
    textbox is safe for Korean input methods: it sends on keypress, which is not fired while a syllable is
    composed."""
    context = _context_box(t, page)
    with gr.Row(elem_classes="kd-composer", elem_id=f"{page}-composer"):
        if attach:
            gr.Button(t("attach"), scale=0, min_width=44, elem_id=f"{page}-attach")
        question = gr.Textbox(
            label=t("question"),
            show_label=False,
            placeholder=t(hint),
            lines=1,
            max_lines=6,
            max_length=QUESTION_CHARACTERS,
            scale=8,
            container=False,
            autofocus=True,
            elem_id=f"{page}-question",
        )
        send = gr.Button(t("send"), variant="primary", scale=1, min_width=88, elem_id=f"{page}-send")
        stop = gr.Button(
            t("stop"), variant="stop", scale=1, min_width=88, visible=False, elem_id=f"{page}-stop"
        )
    return Composer(context, question, send, stop, asked=gr.JSON(None, visible="hidden"))


def _context_box(t: gr.I18n, page: str) -> gr.Textbox:
    with gr.Accordion(t("context_add"), open=False, elem_id=f"{page}-context-box"):
        return gr.Textbox(
            label=t("context"),
            show_label=False,
            placeholder=t("context_hint"),
            lines=3,
            max_lines=10,
            max_length=QUESTION_CHARACTERS,
            container=False,
            elem_id=f"{page}-context",
        )


def listed_models() -> gr.JSON:
    """What the pickers of a page list right now, kept by the page. `gr.State` would keep it on the server,
    and have each tab hold a connection for ever: browsers give a host six."""
    return gr.JSON([], visible="hidden")


def names_in(listed: object) -> list[str]:
    """The names in what a browser says of `listed_models`, which may be anything."""
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


def refresher(page: str, refresh_s: float) -> tuple[gr.Button, gr.Timer]:
    """What asks for the state of the models anew: a button that the browser presses when the page is looked
    at again, and a timer that runs only while something is about to change: the load event starts it."""
    return gr.Button(visible="hidden", elem_id=f"{page}-refresh"), gr.Timer(refresh_s, active=False)


def refresh_on_return(demo: gr.Blocks, page: str) -> None:
    """Have the browser press the page's refresh button whenever the page comes back into sight."""
    script = f"""() => {{
      const press = () => document.hidden || document.querySelector('#{page}-refresh')?.click();
      document.addEventListener('visibilitychange', press);
      window.addEventListener('focus', press);
    }}"""
    on(demo.load, None, [], [], js=script)


def open_composer(loaded: Any, question: gr.Textbox) -> None:
    """Have the browser hold questions back until `loaded`, the page's load event, was answered or has failed
    (`assets/composer.js`): sent before, one would go without its models, and the late answer of the load
    event would put the conversation on the screen that was there before. No load event writes to the box."""
    for answered in (loaded.then, loaded.failure):
        on(answered, None, [question], [question], js="(typed) => window.kodolly.opened(typed)")


def clear_composer(begun: Any, composer: Composer) -> None:
    """Have the browser take out of the boxes what has become a question, and leave what was typed since."""
    for box, script in (
        (composer.question, "(asked, typed) => window.kodolly.took(asked, typed)"),
        (composer.context, "(asked, typed) => typed && typed.trim() === asked?.context ? '' : undefined"),
    ):
        on(begun.then, None, [composer.asked, box], [box], js=script)


def asked_words(side: Side) -> dict[str, Any]:
    """What the browser takes out of the boxes once the last question of `side` has gone out."""
    last = side.turns[-1]
    files = [file.id for file in last.files]
    return {"id": last.id, "question": last.question, "context": last.context, "files": files}


def stop_on_escape(demo: gr.Blocks, page: str) -> None:
    """Have Esc press the page's stop button, unless it closes a list or a dialog, or ends a composed
    syllable."""
    script = f"""() => document.addEventListener('keydown', (event) => {{
      if (event.key !== 'Escape' || event.isComposing || event.defaultPrevented) return;
      if (event.target.getAttribute?.('aria-expanded') === 'true') return;
      if (document.querySelector('dialog[open]')) return;
      const stop = document.querySelector('#{page}-stop');
      if (stop?.offsetParent) stop.click();
    }})"""
    on(demo.load, None, [], [], js=script)


def ticking(cache: StatusCache, *models: str | None) -> Any:
    """Goes on asking while the gateway is away or one of the chosen `models` starts, stops or answers."""
    return gr.update(active=not cache.settled(*models))


def note_answer(cache: StatusCache, side: Side) -> None:
    """Remember how the last answer of `side` ended, once it has."""
    if side.last is not None and side.last.state in ("done", "failed"):
        cache.note_answer(side.last.setup.model, side.last.failure.kind if side.last.failure else None)


def browser_state(name: str) -> gr.BrowserState:
    """What earlier versions kept in the browser; it is taken over once."""
    return gr.BrowserState(None, storage_key=f"kodolly-{name}", secret=STORAGE_SECRET)


def shown_conversation(page: str) -> gr.Textbox:
    """The id of the conversation on the screen; empty for one that has no question yet."""
    return gr.Textbox("", visible="hidden", elem_id=f"{page}-conversation")


ADDRESS_JS = """(id) => {
  const address = new URL(location.href);
  const asked = address.searchParams.get('c') || '';
  if (asked === (id || '')) return;
  address.search = id ? '?c=' + encodeURIComponent(id) : '';
  history.replaceState(history.state, '', address);
}"""
"""Keeps the conversation in the tab's address: a reload shows it again, and each tab has its own."""


def keep_address(shown: gr.Textbox) -> None:
    """Have the tab's address follow the conversation on the screen."""
    on(shown.change, None, [shown], [], js=ADDRESS_JS)
