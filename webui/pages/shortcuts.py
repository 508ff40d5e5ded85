"""What keys do on the pages, and the sheet that lists it. `assets/shortcuts.js` hears the keys."""

from dataclasses import dataclass
from html import escape

from webui.render import both

COMPOSED, COMPARED, CHATTED = frozenset({"compare", "chat"}), frozenset({"compare"}), frozenset({"chat"})


@dataclass(frozen=True)
class Shortcut:
    """Keys that are pressed together or one of which is pressed, and what happens then."""

    keys: tuple[str, ...]
    korean: str
    english: str
    pages: frozenset[str] | None = None
    """Where; None is everywhere."""


SHORTCUTS = (
    Shortcut(("Enter",), "질문 보내기", "Send the question", COMPOSED),
    Shortcut(("Shift", "Enter"), "줄 바꾸기", "Break the line", COMPOSED),
    Shortcut(("Esc",), "답변 멈추기", "Stop the answers", COMPOSED),
    Shortcut(("/",), "질문 칸으로 가기", "Go to the question box", COMPOSED),
    Shortcut(("N",), "새 비교", "New comparison", COMPARED),
    Shortcut(("N",), "새 대화", "New chat", CHATTED),
    Shortcut(
        ("1", "2", "3", "4"),
        "투표: 왼쪽, 비슷함, 둘 다 나쁨, 오른쪽",
        "Vote: left, tie, both bad, right",
        COMPARED,
    ),
    Shortcut(
        ("1", "…", "6"),
        "모델이 셋 이상일 때 투표: 가장 나은 답변의 번호, 그다음 비슷함, 모두 나쁨",
        "Vote on more than two: the number of the best answer, then tie, all bad",
        COMPARED,
    ),
    Shortcut(("Ctrl", "Enter"), "고쳐 쓴 답변 저장", "Save a corrected answer", CHATTED),
    Shortcut(("?",), "이 도움말", "This list"),
)


def help_sheet(page: str) -> str:
    """The button that opens the sheet, and the sheet, in both languages."""
    rows = "".join(
        f"<tr><th scope='row'>{''.join(f'<kbd>{escape(key)}</kbd>' for key in each.keys)}</th>"
        f"<td>{both(each.korean, each.english)}</td></tr>"
        for each in SHORTCUTS
        if each.pages is None or page in each.pages
    )
    title = both("단축키", "Keyboard shortcuts")
    letters = both("글자와 숫자 단축키 쓰기", "Use shortcuts of letters and digits")
    return (
        f'<button id="help-open" class="kd-help-open" type="button" aria-haspopup="dialog">'
        f'<span aria-hidden="true">?</span><span class="kd-unseen">{title}</span></button>'
        f'<dialog id="help" class="kd-help" aria-labelledby="help-title"><h2 id="help-title">{title}</h2>'
        f"<table>{rows}</table>"
        f'<label><input id="help-letters" type="checkbox" checked> {letters}</label>'
        f'<button id="help-close" type="button">{both("닫기", "Close")}</button></dialog>'
    )
