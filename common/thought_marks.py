"""Marks between which models write what they think before they answer."""

MARKS = (
    ("<think>", "</think>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("<|channel>thought", "<channel|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<seed:think>", "</seed:think>"),
)
"""(beginning, end) in published templates."""
NEAR = 40
"""A mark that is left open by a prompt stands within so many characters of its end."""


def opened_thought(prompt: str) -> str | None:
    """The mark of a thought that the prompt has begun and not ended; None where there is none."""
    for begin, end in MARKS:
        place = prompt.rfind(begin)
        if place > prompt.rfind(end) and place >= len(prompt) - NEAR:
            return begin
    return None


def closes_thought(text: str, mark: str) -> bool:
    """Whether `text` has the end of the thought that `mark` begins."""
    return end_of_thought(mark) in text


def end_of_thought(mark: str) -> str:
    """The mark that ends a thought which `mark` begins."""
    return dict(MARKS)[mark]


def behind_thought(prompt: str, text: str) -> str:
    """The answer in `text`, which follows `prompt`: what comes behind the end of a thought that the prompt
    opens; all of it where it opens none, or where the thought does not end."""
    mark = opened_thought(prompt)
    if mark is None or not closes_thought(text, mark):
        return text
    return text.partition(end_of_thought(mark))[2].strip()


def split_thought(text: str) -> tuple[str, str]:
    """(what was thought, the answer) of a text that begins with a thought; ('', text) else.

    The thought stands between marks, or ends with a mark on a line of its own, where a prompt opened it.
    """
    for begin, end in MARKS:
        head, found, answer = text.partition(end)
        if found and head.lstrip().startswith(begin):
            return head.lstrip()[len(begin) :].strip(), answer.strip()
        if found and begin not in head and head.endswith("\n") and answer.startswith("\n"):
            return head.strip(), answer.strip()
    return "", text
