"""A shared conversation as plain HTML: it can be read without a script, which only draws its Markdown."""

from html import escape
from urllib.parse import quote

from webui.conversation import AttachedFile, Turn
from webui.plain_page import BRAND, ROOT, plain_page
from webui.render import ending
from webui.side_names import side_text
from webui.store.shares import SharedConversation
from webui.texts import Lang, text


def shared_html(found: SharedConversation, lang: Lang, script: str, word: str) -> str:
    """The page. `script` is the address of `assets/shared.js`, `word` the random one of the page's own."""
    told = escape(text(lang, "shared_on", day=f"{found.shared:%Y-%m-%d}"))
    body = _turns(found, lang, f"./{quote(word, safe='')}/files")
    head = f'<script type="module" src="{escape(script)}"></script>'
    return _page(lang, found.title, f'<p class="quiet">{told}</p>{body}', head)


def picture_html(found: SharedConversation, lang: Lang) -> str:
    """The same for `assets/picture.js`, which makes a picture of it: contexts are open."""
    body = _turns(found, lang).replace("<details>", "<details open>")
    return _page(lang, found.title, f'<p class="quiet">{found.shared:%Y-%m-%d}</p>{body}')


def gone_html(lang: Lang) -> str:
    """The page of an address that leads nowhere."""
    return _page(lang, text(lang, "shared_gone_title"), f"<p>{escape(text(lang, 'shared_gone'))}</p>")


def _turns(found: SharedConversation, lang: Lang, at: str = "") -> str:
    """`at` is where images are; without it their names stand alone."""
    count = max((len(side.turns) for side in found.sides.values()), default=0)
    return "".join(_turn(found, number, lang, at) for number in range(count))


def _turn(found: SharedConversation, number: int, lang: Lang, at: str) -> str:
    given = {pane: side.turns[number] for pane, side in found.sides.items() if number < len(side.turns)}
    first = next(iter(given.values()))
    context = (
        f"<details><summary>{escape(text(lang, 'context'))}</summary>"
        f'<div class="plain">{escape(first.context)}</div></details>'
        if first.context
        else ""
    )
    attached = "".join(_file(file, at) for file in first.files)
    told = "".join(_answer(pane, turn, found, lang) for pane, turn in given.items())
    label = f"{escape(text(lang, 'shared_question'))} {number + 1}"
    return (
        f'<section><h2>{label}</h2><div class="asked plain">{escape(first.question)}</div>{context}{attached}'
        f'<div class="answers">{told}</div></section>'
    )


def _file(file: AttachedFile, at: str) -> str:
    name = escape(file.name)
    if file.kind == "image" and at:
        return f'<img class="file" loading="lazy" src="{escape(f"{at}/{file.id}")}" alt="{name}">'
    return f'<p class="quiet">{name}</p>'


def _answer(pane: str, turn: Turn, found: SharedConversation, lang: Lang) -> str:
    name = side_text(lang, "answer", pane, len(found.sides))
    if not found.hidden:
        name = turn.setup.model if pane == "chat" else f"{name}: {turn.setup.model}"
    ended = ending(turn, lang)[0] if turn.state != "done" else ""
    return (
        f'<article><h3>{escape(name)}</h3><div class="kd-md plain">{escape(turn.answer.strip())}</div>'
        f'<p class="quiet">{escape(ended)}</p></article>'
    )


def _page(lang: Lang, title: str, body: str, head: str = "") -> str:
    main = f'<main><p class="brand"><a href="../">{BRAND}</a></p>\n<h1>{escape(title)}</h1>{body}</main>'
    return plain_page(lang, title, main, [ROOT / "sharing" / "shared.css"], head)
