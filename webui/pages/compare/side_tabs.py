"""On a phone one side is seen at a time: which one, for `assets/sides.js`."""

from webui.render import both
from webui.side_names import side_text
from webui.store.conversations import FEWEST, PANES


def side_tabs(count: int) -> str:
    """A tab for each of so many sides."""
    what = "answer" if count == FEWEST["compare"] else "name"
    tabs = "".join(
        f'<button type="button" data-side="{side}" aria-pressed="{str(number == 0).lower()}">'
        f"{both(*(side_text(lang, what, side, count) for lang in ('ko', 'en')))}</button>"
        for number, side in enumerate(PANES["compare"][:count])
    )
    return f'<kd-side-tabs count="{count}" class="kd-side-tabs" role="group">{tabs}</kd-side-tabs>'
