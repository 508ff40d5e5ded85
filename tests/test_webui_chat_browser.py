"""What a chat has besides questions and answers, in a real browser: folders, images and files."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.support.accessibility import violations
from tests.support.images import image
from tests.support.processes import wait_for
from tests.support.webui_driver import WebUi
from tests.support.webui_stage import LIMIT_S, Stage

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
    expect(search).to_have_value("")  # the list is whole again
    expect(folder(ui, "여행")).to_be_visible()
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


def attach(ui: WebUi, *files: Path) -> None:
    with ui.page.expect_file_chooser() as chooser:
        ui.element("chat-attach").click()
    chooser.value.set_files(files)


def held(ui: WebUi) -> Locator:
    """The files that go along with the next question."""
    return ui.element("chat-files").get_by_role("listitem")


PASTE = """(bytes) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], "image.png", {type: "image/png"}));
  const box = document.querySelector("#chat-question textarea");
  box.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true}));
}"""
DROP = """(words) => {
  const data = new DataTransfer();
  data.items.add(new File([words], "메모.txt"));
  const box = document.querySelector("#chat-question");
  for (const type of ["dragover", "drop"]) {
    box.dispatchEvent(new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true}));
  }
}"""
LOADED = "image => image.complete && image.naturalWidth > 0"


def test_images_and_texts_go_along_with_a_question(ui: WebUi, stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "고양이.png").write_bytes(image(size=(64, 48)))
    (tmp_path / "나쁜.png").write_bytes(b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>")
    ui.open("/chat")
    ui.pick("fast", "chat")
    attach(ui, tmp_path / "나쁜.png")
    expect(ui.page.get_by_text("SVG는 붙일 수 없습니다")).to_be_visible()
    attach(ui, tmp_path / "고양이.png")
    expect(held(ui)).to_have_count(1)
    ui.page.evaluate(PASTE, list(image(colour="red")))
    expect(held(ui)).to_have_count(2)
    ui.page.evaluate(DROP, "오늘 할 일")
    expect(held(ui)).to_have_count(3)
    expect(ui.element("chat-files").locator("[aria-busy]")).to_have_count(0)
    held(ui).nth(1).get_by_role("button", name="빼기").click()
    expect(held(ui)).to_have_count(2)
    box = ui.element("chat-question").locator("textarea")
    box.fill("무엇인가?")
    ui.page.screenshot(path=tmp_path / "attached.png")
    box.press("Enter")
    expect(ui.page.get_by_text("이 모델은 그림을 받지 않습니다")).to_be_visible()
    expect(held(ui)).to_have_count(2)
    ui.page.reload()
    expect(held(ui)).to_have_count(2)
    ui.pick("demo-base", "chat")
    ui.ask("무엇인가?", "chat")
    ui.wait_finished("chat")
    expect(held(ui)).to_have_count(0)
    content = stage.script()["chats"][-1]["messages"][-1]["content"]
    assert content[0]["text"] == "무엇인가?\n\n[고양이.png]\n\n[메모.txt]\n오늘 할 일"
    assert content[1]["image_url"]["url"].startswith("data:image/png;base64,")
    ui.open("/chat")
    shown = ui.element("chat-chat").get_by_role("img", name="고양이.png")
    expect(shown).to_be_visible()
    wait_for(lambda: bool(shown.evaluate(LOADED)), LIMIT_S, what="the image")
    expect(ui.element("chat-chat")).to_contain_text("메모.txt")
    ui.page.screenshot(path=tmp_path / "asked.png")
    ui.element("chat-share").click()
    shared = ui.element("chat-share-note").get_by_role("link")
    others = ui.tab()
    others.page.goto(shared.get_attribute("href") or "")
    picture = others.page.get_by_role("img", name="고양이.png")
    expect(picture).to_be_visible()
    wait_for(lambda: bool(picture.evaluate(LOADED)), LIMIT_S, what="the shared image")
    ui.element("chat-undo").click()
    expect(held(ui)).to_have_count(2)


def test_files_on_a_phone_in_english(new_ui: Callable[..., WebUi], tmp_path: Path) -> None:
    ui = new_ui(**PHONE)
    (tmp_path / "cat.png").write_bytes(image(size=(600, 800)))
    (tmp_path / "a name that is rather long for a phone.txt").write_text("notes")
    ui.open("/chat")
    ui.pick("demo-base", "chat")
    attach(ui, *sorted(tmp_path.iterdir()))
    expect(held(ui)).to_have_count(2)
    expect(ui.element("chat-files").locator("[aria-busy]")).to_have_count(0)
    for button in held(ui).get_by_role("button").all():
        box = button.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= TARGET_PX
    assert ui.overflow_px() == 0
    assert violations(ui.page) == []
    ui.page.screenshot(path=tmp_path / "attached.png")
    ui.ask("What is it?", "chat")
    ui.wait_finished("chat")
    expect(ui.element("chat-chat").get_by_role("img", name="cat.png")).to_be_visible()
    assert ui.overflow_px() == 0
    assert violations(ui.page) == []
    ui.page.screenshot(path=tmp_path / "asked.png")
