"""What the sides of a conversation and the choices among them are called."""

from webui.conversation import ComparisonChoice
from webui.store.conversations import PANES
from webui.texts import Lang, text

NUMBERS = {pane: number for number, pane in enumerate(PANES["compare"], start=1)}


def side_text(lang: Lang, what: str, pane: str, sides: int) -> str:
    """A text of `webui.side_texts` about one of so many sides; `what` is name, model, answer and so on."""
    if sides > 2:
        return text(lang, f"numbered_{what}", number=NUMBERS[pane])
    return text(lang, f"{pane}_{what}")


def choice_text(lang: Lang, choice: ComparisonChoice, sides: int) -> str:
    """What was said of so many answers."""
    if sides > 2 and choice in NUMBERS:
        return text(lang, "choice_best", number=NUMBERS[choice])
    return text(lang, "choice_all_bad" if sides > 2 and choice == "both_bad" else f"choice_{choice}")
