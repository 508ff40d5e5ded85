"""The documents page in a real browser, before a real gateway and a real documents service."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.support.accessibility import violations
from tests.support.documents_stack import KEYS, DocumentsStack, documents_stack
from tests.support.hostile import harm
from tests.support.hostile_words import NAME
from tests.support.paper_files import Paper, Print, lines, write_pdf
from tests.support.processes import PATIENCE_S, free_port, running
from tests.support.webui_driver import WebUi
from tests.support.webui_stage import chromium_or_skip, webui_command

pytestmark = pytest.mark.slow
MODEL = "my-dolly"
FIRST = "제1조(목적) 이 규칙은 직원의 근무와 휴가에 관한 사항을 정한다."
PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "locale": "en-US"}


@dataclass(frozen=True)
class House:
    """The web UI, who browses, and a paper whose second page says what the engine answers."""

    url: str
    browser: Browser
    paper: Path
    said: str


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    cwd = tmp_path_factory.mktemp("papers")
    with documents_stack(cwd, MODEL) as stack, stack.documents(), chromium_or_skip() as browser:
        said = answer_of_engine(stack)
        paper = write_paper(cwd / "취업규칙.pdf", said)
        port = free_port()
        env = {"KODOLLY_STATE_DIR": str(cwd / "webui"), "KODOLLY_API_KEY": KEYS[0]}
        url, command = f"http://127.0.0.1:{port}", webui_command(port, stack.gateway)
        with running(command, cwd / "webui.log", f"{url}/healthz", env):
            yield House(url, browser, paper, said)


def answer_of_engine(stack: DocumentsStack) -> str:
    """It says the same to everybody."""
    return stack.client().responses.create(model=MODEL, input="무엇?").output_text.strip()


def write_paper(path: Path, said: str) -> Path:
    """Two pages; what is said stands on the second."""
    first = Paper([Print("취업규칙", 60, 100, 16), *lines(FIRST, 60, 160, 40)])
    second = Paper([*lines(f"제2조(답) 여기에 적는다. {said}. 그 밖은 따로 정한다.", 60, 160, 50)])
    return write_pdf(path, [first, second])


def open_page(ui: WebUi) -> None:
    ui.page.goto(f"{ui.url}/documents")
    expect(ui.element("documents-make")).to_be_visible()


def make_store(ui: WebUi, name: str) -> None:
    ui.element("documents-name").fill(name)
    ui.element("documents-make").click()
    expect(ui.element("documents-store").locator("h2")).to_have_text(name)


def upload(ui: WebUi, paper: Path) -> None:
    ui.element("documents-upload").set_input_files(paper)
    expect(ui.element("documents-files")).to_contain_text("취업규칙.pdf")
    ready = ui.element("documents-files").locator(".kd-ready")
    expect(ready).to_have_count(1, timeout=1000 * PATIENCE_S)  # a first PDF has Kiwi loaded


def test_a_paper_is_uploaded_asked_and_opened_at_what_the_answer_rests_on(house: House) -> None:
    ui = WebUi(house.browser, house.url)
    open_page(ui)
    make_store(ui, "편람")
    upload(ui, house.paper)
    ui.element("documents-question").fill(f"{house.said} 무엇인가요?")
    ui.element("documents-question").press("Enter")
    ui.element("documents-answers").locator(".kd-cite").first.click()
    viewer = ui.element("documents-viewer")
    expect(viewer).to_contain_text("2쪽 / 2쪽")
    expect(viewer.locator("mark")).to_contain_text(house.said.split()[0])
    expect(viewer.locator("mark")).to_be_in_viewport()
    assert violations(ui.page) == []
    viewer.get_by_role("button", name="이전 쪽").click()
    expect(viewer).to_contain_text("제1조(목적)")
    viewer.get_by_role("button", name="닫기").click()
    assert violations(ui.page) == []
    assert (ui.errors, ui.foreign, ui.nameless_buttons()) == ([], [], [])
    ui.close()


def test_a_large_paper_goes_in_parts_and_a_page_of_a_picture_says_so(house: House) -> None:
    """Too large for the gateway in one request; what makes it large are comments."""
    ui = WebUi(house.browser, house.url)
    ui.page.route("**/files/*/passage?*", recognised)
    open_page(ui)
    make_store(ui, "큰 문서")
    large = house.paper.with_name("취업규칙.pdf 큰.html")
    comment = f"<!--{'x' * 2**20}-->"
    large.write_text(f"{comment * 65}<p>{FIRST}</p>", encoding="utf-8")
    upload(ui, large)
    ui.element("documents-files").get_by_role("button", name=large.name, exact=True).click()
    viewer = ui.element("documents-viewer")
    expect(viewer).to_contain_text(FIRST)
    expect(viewer).to_contain_text("확신 87%")
    assert violations(ui.page) == []
    assert (ui.errors, ui.foreign) == ([], [])
    ui.close()


def recognised(route: Route) -> None:
    """The page as it would be told of a picture: this house has no OCR."""
    told = "its text was recognised in a picture, confidence 87%"
    answer = route.fetch()
    route.fulfill(response=answer, json=answer.json() | {"problem": told, "confidence": 87})


def test_a_browser_changes_what_it_has_made_and_others_see_what_is_shared(house: House) -> None:
    mine, other = WebUi(house.browser, house.url), WebUi(house.browser, house.url, **PHONE)
    open_page(mine)
    make_store(mine, "인사 규정")
    upload(mine, house.paper)
    mine.element("documents-rename").click()
    mine.element("documents-store").get_by_label("문서함 이름").fill("인사 규정 2026")
    mine.element("documents-store").get_by_role("button", name="저장").click()
    expect(mine.element("documents-stores")).to_contain_text("인사 규정 2026")

    open_page(other)
    expect(other.element("documents-stores")).to_contain_text("There is no collection yet")
    mine.element("documents-shared").check()
    expect(mine.element("documents-shared")).to_be_enabled()
    other.page.wait_for_function(
        "fetch('documents/api/stores').then(a => a.json()).then(a => a.stores.length === 1)"
    )
    open_page(other)
    expect(other.element("documents-store").locator("h2")).to_have_text("인사 규정 2026")
    expect(other.element("documents-delete")).to_have_count(0)
    store = mine.page.url.rpartition("store=")[2]
    refused = other.page.request.post(f"{house.url}/documents/api/stores/{store}", data={"name": "mine now"})
    assert refused.status == 404
    assert other.overflow_px() <= 0
    assert violations(other.page) == []

    mine.confirms = True
    mine.element("documents-delete").click()
    expect(mine.element("documents-stores")).not_to_contain_text("인사 규정 2026")
    assert (mine.errors, other.errors, mine.foreign, other.foreign) == ([], [], [], [])
    mine.close()
    other.close()


def test_what_cannot_be_read_is_told_at_its_file_and_hostile_names_stay_words(
    house: House, tmp_path: Path
) -> None:
    broken, cited = tmp_path / f"{NAME}.pdf", tmp_path / f"취업규칙.pdf {NAME}.txt"
    broken.write_bytes(b"%PDF-1.4 broken")
    cited.write_text(f"{NAME} 여기에 적는다. {house.said}. 끝. {NAME}", encoding="utf-8")
    ui = WebUi(house.browser, house.url)
    open_page(ui)
    make_store(ui, NAME)
    upload(ui, cited)
    ui.element("documents-upload").set_input_files(broken)
    expect(ui.element("documents-files").locator(".kd-failed")).to_contain_text("읽지 못함")
    ui.element("documents-question").fill(f"{house.said} {NAME}")
    ui.element("documents-question").press("Enter")
    ui.element("documents-answers").locator(".kd-cite").first.click()
    expect(ui.element("documents-viewer")).to_contain_text(NAME)
    assert harm(ui) == []
    ui.close()
