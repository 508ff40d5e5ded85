"""What a chat has besides questions and answers, in a real browser: folders."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.support.accessibility import violations
from tests.support.webui_driver import WebUi

pytestmark = pytest.mark.slow

PHONE = {"viewport": {"width": 390, "height": 844}, "locale": "en-US"}
TARGET_PX = 44


def folder(ui: WebUi, name: str) -> Locator:
    """A folder in the list, with its chats."""
    return ui.element("chat-history").get_by_role("group", name=name)


def make_folder(ui: WebUi, name: str) -> None:
    box = ui.element("chat-folder-name").locator("textarea, input")
    if not box.is_visible():
        ui.element("chat-folder-new").locator("button").first.click()
    box.fill(name)
    box.press("Enter")
    expect(folder(ui, name)).to_be_visible()


def file_chat(ui: WebUi, name: str) -> None:
    """Put the chat on the screen into a folder."""
    ui.element("chat-folder-of").locator("input").click()
    ui.page.get_by_role("option", name=name, exact=True).click()


def ask_first(ui: WebUi, question: str) -> None:
    ui.open("/chat")
    ui.pick("fast", "chat")
    ui.ask(question, "chat")
    ui.wait_finished("chat")


def test_chats_lie_in_folders_that_two_tabs_see(ui: WebUi, tmp_path: Path) -> None:
    ask_first(ui, "첫 회의 요약")
    make_folder(ui, "회의록")
    file_chat(ui, "회의록")
    expect(folder(ui, "회의록")).to_contain_text("첫 회의 요약")
    ui.element("chat-new").click()
    ui.ask("그냥 묻는 말", "chat")
    ui.wait_finished("chat")
    expect(folder(ui, "폴더 없음")).to_contain_text("그냥 묻는 말")
    other = ui.tab().open("/chat")
    folder(other, "회의록").get_by_role("button", name="‘회의록’ 폴더 이름 바꾸기").click()
    box = other.element("chat-history").get_by_role("textbox")
    box.fill("모임")
    box.press("Enter")
    expect(folder(other, "모임")).to_contain_text("첫 회의 요약")
    make_folder(ui, "여행")
    expect(folder(ui, "모임")).to_be_visible()
    search = ui.element("chat-search").locator("textarea, input")
    search.fill("회의")
    expect(folder(ui, "여행")).to_have_count(0)
    folder(ui, "모임").get_by_text("첫 회의 요약").click()
    expect(ui.element("chat-chat")).to_contain_text("첫 회의 요약")
    expect(ui.element("chat-folder-of").locator("input")).to_have_value("모임")
    ui.page.screenshot(path=tmp_path / "folders.png")
    folder(ui, "모임").get_by_role("button", name="‘모임’ 폴더 삭제").click()
    expect(ui.element("chat-folder-note")).to_contain_text("대화는 남아 있습니다")
    expect(folder(ui, "모임")).to_have_count(0)
    expect(ui.element("chat-history")).to_contain_text("첫 회의 요약")
    ui.element("chat-folder-note").get_by_role("button", name="삭제 취소").click()
    expect(folder(ui, "모임")).to_contain_text("첫 회의 요약")


def test_folders_on_a_phone_in_english(new_ui: Callable[..., WebUi], tmp_path: Path) -> None:
    ui = new_ui(**PHONE)
    ask_first(ui, "A question")
    make_folder(ui, "Minutes")
    file_chat(ui, "Minutes")
    expect(folder(ui, "Minutes")).to_contain_text("A question")
    for name in ("Rename the folder “Minutes”", "Delete the folder “Minutes”"):
        box = folder(ui, "Minutes").get_by_role("button", name=name).bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= TARGET_PX
    assert ui.overflow_px() == 0
    assert violations(ui.page) == []
    ui.element("chat-history").scroll_into_view_if_needed()
    ui.page.screenshot(path=tmp_path / "phone.png", full_page=True)
