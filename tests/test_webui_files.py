"""Images and texts beside questions: what is taken, who sees it, what models are sent."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from common.status import StatusModel
from kodolly.paper_text import paper_reader, paper_text
from tests.support.images import camera_jpeg, image, jpeg_with_preview, png_of_size
from tests.support.page_app import page_client
from tests.support.paper_files import Paper, lines, write_pdf
from tests.support.studies import SAMPLING, page_store
from webui.answering import Answering
from webui.chat_request import ChatRequest
from webui.conversation import Setup
from webui.files.file import ReadFile
from webui.files.reading import FILE_BYTES, Unfit, read_file
from webui.gateway_client import GatewayClient, StreamEvent
from webui.gateway_stream import Rest
from webui.pages.export import as_json, as_markdown, exported
from webui.session import COOKIE
from webui.sharing.page import picture_html, shared_html
from webui.store import tables
from webui.store.conversations import Conversation
from webui.store.files import FileGone, ImagesTooLarge, NoImages
from webui.store.page_store import PageStore
from webui.store.users import user_of

ANNA, BORA = "anna", "bora"
SEES = Setup(model="sees", sampling=SAMPLING, images=True)
BLIND = Setup(model="blind", sampling=SAMPLING)
SCRIPT = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_an_image_is_known_by_what_is_in_it(kind: str) -> None:
    read = read_file("그림.txt", image(kind))
    assert (read.kind, read.name, read.type) == ("image", "그림.txt", f"image/{kind.lower()}")


@pytest.mark.parametrize("content", [camera_jpeg(), jpeg_with_preview(), image("JPEG") + b"\0" * 9])
def test_a_jpeg_may_have_more_in_it_than_an_image(content: bytes) -> None:
    assert read_file("사진.jpg", content).type == "image/jpeg"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("안녕\n하세요".encode(), "안녕\n하세요"),
        ("안녕".encode("cp949"), "안녕"),
        ("﻿가,나\n1,2".encode("utf-16"), "가,나\n1,2"),
        (b"def f():\n\treturn 1\n", "def f():\n\treturn 1\n"),
    ],
)
def test_a_text_is_read_in_the_encodings_of_korean_programs(content: bytes, words: str) -> None:
    read = read_file("말.md", content)
    assert (read.kind, read.content.decode().lstrip("\ufeff")) == ("text", words)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "file_empty"),
        (b" \n\t ", "file_empty"),
        (b"\x7fELF\x02\x01\x01\x00", "file_unknown"),
        (bytes(range(256)), "file_unknown"),
        (SCRIPT, "file_svg"),
        (b"<?xml version='1.0'?>\n<!-- x --><!DOCTYPE svg>" + SCRIPT, "file_svg"),
        (png_of_size(60_000, 60_000), "file_pixels"),
        (png_of_size(20_000, 10), "file_pixels"),
        (png_of_size(0, 0), "file_broken"),
        (image("PNG", (99, 99))[:-20], "file_broken"),
        (image("JPEG", (99, 99))[:-20], "file_broken"),
        (jpeg_with_preview()[:-20], "file_broken"),
        (image("WEBP", (99, 99))[:-20], "file_broken"),
        (image("GIF", (99, 99))[:-20], "file_broken"),
        (b"RIFF\x04\x00\x00\x00WEBP", "file_broken"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "file_unknown"),
        (b"BM" + image("PNG")[2:], "file_unknown"),
        (b"x" * (FILE_BYTES + 1), "file_large"),
        ("가".encode() * 100_001, "file_long"),
        (b"%PDF-1.7 x", "file_no_pdf"),
    ],
)
def test_a_file_that_is_none_of_these_is_refused_in_clear_words(content: bytes, why: str) -> None:
    with pytest.raises(Unfit) as refused:
        read_file("그림.png", content)
    assert refused.value.key == why


def test_a_name_is_one_line_that_leads_nowhere() -> None:
    assert read_file("../../etc/\u202egnp.passwd\n", image()).name == "gnp.passwd"
    assert read_file("C:\\내 문서\\사진.png", image()).name == "사진.png"
    assert read_file("", image()).name == "file"


def test_a_paper_becomes_its_text(tmp_path: Path) -> None:
    assert paper_reader() is paper_text
    pdf = write_pdf(tmp_path / "p.pdf", [Paper(lines("둘째 분기 매출은 3억 원이다.", 72, 700, 40))])
    read = read_file("보고서.pdf", pdf.read_bytes(), paper_text)
    assert (read.kind, read.name) == ("text", "보고서.pdf")
    assert "매출은 3억 원" in read.content.decode()
    for content, why in (
        (b"%PDF-1.7\nbroken", "file_pdf"),
        (empty_pdf(tmp_path), "file_pdf_scanned"),
        (locked(pdf.read_bytes()), "file_pdf_locked"),
    ):
        with pytest.raises(Unfit) as refused:
            read_file("보고서.pdf", content, paper_text)
        assert refused.value.key == why


def locked(content: bytes) -> bytes:
    """The PDF with a password that nobody knows."""
    words = b"0" * 32
    rights = b"/Encrypt<</Filter/Standard/V 1/R 2/O(%b)/U(%b)/P -4>>" % (words, words)
    head, mark, trailer = content.rpartition(b"trailer")
    return head + mark + trailer.replace(b"<<", b"<<" + rights, 1)


def empty_pdf(folder: Path) -> bytes:
    return write_pdf(folder / "empty.pdf", [Paper()]).read_bytes()


PICTURE = ReadFile("image", "고양이.png", "image/png", image())
NOTES = ReadFile("text", "메모.txt", "text/plain", "오늘 할 일".encode())


async def asked(
    store: PageStore, question: str, files: list[str], shown: str | None = None, setup: Setup = SEES
) -> Conversation:
    made = await store.conversations.ask(ANNA, "chat", shown, question, {"chat": setup}, files=files)
    done = made.sides["chat"].with_last(state="done", answer="답", finish_reason="stop")
    await store.conversations.write_answer(done.turns[-1])
    found = await store.conversations.get(ANNA, made.id)
    assert found is not None
    return found


async def test_files_are_seen_by_whose_they_are_until_the_conversation_is_deleted(tmp_path: Path) -> None:
    async with page_store(tmp_path) as store:
        picture, notes = await store.files.keep(ANNA, PICTURE), await store.files.keep(ANNA, NOTES)
        for file_id, content in ((picture, PICTURE.content), (notes, NOTES.content)):
            kept = await store.files.find(ANNA, file_id)
            assert kept is not None
            assert kept.content == content
            assert await store.files.find(BORA, file_id) is None
        found = await asked(store, "무엇인가?", [picture, notes])
        (turn,) = found.sides["chat"].turns
        assert [(file.kind, file.name) for file in turn.files] == [
            ("image", "고양이.png"),
            ("text", "메모.txt"),
        ]
        assert turn.asked == "무엇인가?\n\n[고양이.png]\n\n[메모.txt]\n오늘 할 일"
        await store.conversations.delete(ANNA, found.id)
        assert await store.files.find(ANNA, picture) is None
        await store.conversations.restore(ANNA, found.id)
        assert await store.files.find(ANNA, picture) is not None


async def test_files_of_others_and_images_for_models_without_eyes_are_refused(tmp_path: Path) -> None:
    async with page_store(tmp_path) as store:
        theirs, picture = await store.files.keep(BORA, NOTES), await store.files.keep(ANNA, PICTURE)
        with pytest.raises(FileGone):
            await asked(store, "질문", [theirs])
        with pytest.raises(NoImages):
            await asked(store, "질문", [picture], setup=BLIND)
        assert (await store.conversations.history(ANNA, "chat")).lines == []
        notes = await store.files.keep(ANNA, NOTES)
        assert (await asked(store, "질문", [notes], setup=BLIND)).title == "질문"


async def test_what_no_question_took_is_gone_after_a_day(tmp_path: Path) -> None:
    async with page_store(tmp_path) as store:
        sent, unsent = await store.files.keep(ANNA, PICTURE), await store.files.keep(ANNA, PICTURE)
        await asked(store, "질문", [sent])
    then = datetime.now(UTC) - timedelta(days=2)
    with sa.create_engine(f"sqlite:///{tmp_path / 'webui.db'}").begin() as connection:
        connection.execute(sa.update(tables.files).values(made=then))
    async with page_store(tmp_path) as store:
        await store.files.keep(ANNA, NOTES)
        assert await store.files.find(ANNA, sent) is not None
        assert await store.files.find(ANNA, unsent) is None


async def test_a_user_has_so_many_files_that_no_question_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui.store.files.MOST_UNSENT", 2)
    async with page_store(tmp_path) as store:
        theirs, sent = await store.files.keep(BORA, NOTES), await store.files.keep(ANNA, NOTES)
        await asked(store, "질문", [sent])
        kept = [await store.files.keep(ANNA, NOTES) for _ in range(3)]
        assert await store.files.find(ANNA, kept[0]) is None
        for user, file_id in ((ANNA, kept[1]), (ANNA, kept[2]), (ANNA, sent), (BORA, theirs)):
            assert await store.files.find(user, file_id) is not None


async def test_a_question_with_more_images_than_one_request_holds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui.store.files.IMAGE_BYTES", 2 * len(PICTURE.content))
    async with page_store(tmp_path) as store:
        pictures = [await store.files.keep(ANNA, PICTURE) for _ in range(3)]
        with pytest.raises(ImagesTooLarge):
            await asked(store, "질문", pictures)
        assert (await asked(store, "질문", pictures[:2])).title == "질문"


async def test_a_branch_has_the_images_and_a_share_shows_them_to_others(tmp_path: Path) -> None:
    async with page_store(tmp_path) as store:
        early, late = await store.files.keep(ANNA, PICTURE), await store.files.keep(ANNA, PICTURE)
        found = await asked(store, "처음", [early])
        word = await store.shares.share(ANNA, found.id) or ""
        found = await asked(store, "나중", [late], found.id)
        assert await store.files.shared(word, early) is not None
        assert await store.files.shared(word, late) is None
        assert await store.files.shared("another", early) is None
        seen = await store.shares.find(word)
        assert seen is not None
        assert f'src="./{word}/files/{early}" alt="고양이.png"' in shared_html(seen, "ko", "x.js", word)
        assert "<img" not in picture_html(seen, "ko")
        last = found.sides["chat"].turns[-1]
        branched = await store.versions.branch(ANNA, found.id, last.id, "갈래")
        assert branched is not None
        await store.conversations.delete(ANNA, found.id)
        assert await store.files.shared(word, early) is None
        assert await store.files.find(ANNA, early) is not None  # in the branch
        assert await store.files.find(ANNA, late) is None


class Sees(GatewayClient):
    """Takes down what it is asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def stream(
        self, request: ChatRequest, rest: Callable[[], Rest] | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        self.asked.append(request.body())
        yield StreamEvent(text="답", finish_reason="stop")


async def sent(store: PageStore, found: Conversation) -> list[Any]:
    """The contents of the messages that the model of the open last question gets."""
    client = Sees()
    answering = Answering(client, store.conversations.write_answer, 60.0, images_of=store.files.data_urls)
    async with answering.running():
        answering.start(found.sides["chat"], ANNA)
        last = found.sides["chat"].turns[-1].id
        while answering.look(ANNA, last) is not None:
            await asyncio.sleep(0)
    return [message["content"] for message in client.asked[0]["messages"]]


async def test_a_model_is_sent_images_as_parts_also_those_of_earlier_questions(tmp_path: Path) -> None:
    async with page_store(tmp_path) as store:
        picture = await store.files.keep(ANNA, PICTURE)
        found = await asked(store, "무엇인가?", [picture])
        more = await store.conversations.ask(ANNA, "chat", found.id, "색은?", {"chat": SEES})
        first, answer, second = await sent(store, more)
        assert first[0] == {"type": "text", "text": "무엇인가?\n\n[고양이.png]"}
        assert first[1]["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
        assert (answer, second) == ("답", "색은?")


async def test_a_model_without_eyes_is_told_the_names_of_earlier_images(tmp_path: Path) -> None:
    async with page_store(tmp_path) as store:
        picture = await store.files.keep(ANNA, PICTURE)
        found = await asked(store, "무엇인가?", [picture])
        more = await store.conversations.ask(ANNA, "chat", found.id, "색은?", {"chat": BLIND})
        assert await sent(store, more) == ["무엇인가?\n\n[고양이.png]", "답", "색은?"]


async def test_of_many_images_the_newest_are_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.answering.IMAGE_BYTES", len(PICTURE.content))
    async with page_store(tmp_path) as store:
        found = await asked(store, "처음", [await store.files.keep(ANNA, PICTURE)])
        files = [await store.files.keep(ANNA, PICTURE)]
        more = await store.conversations.ask(ANNA, "chat", found.id, "나중", {"chat": SEES}, files=files)
        first, _, second = await sent(store, more)
        assert first == "처음\n\n[고양이.png]"
        assert [part["type"] for part in second] == ["text", "image_url"]


async def test_exports_name_the_files(tmp_path: Path) -> None:
    async with page_store(tmp_path) as store:
        files = [await store.files.keep(ANNA, PICTURE), await store.files.keep(ANNA, NOTES)]
        export = exported(await asked(store, "질문", files))
    assert "첨부: 고양이.png, 메모.txt" in as_markdown(export, "ko")
    assert '"text": "오늘 할 일"' in as_json(export)


async def test_a_browser_keeps_a_file_and_gets_it_back_harmless(tmp_path: Path) -> None:
    browser = {"cookie": f"{COOKIE}=browser-{'a' * 20}", "accept-language": "en"}
    async with page_client(tmp_path, running=False) as client:

        async def put(name: str, content: bytes) -> Any:
            return await client.post("/page/files", files={"file": (name, content)}, headers=browser)

        made = (await put("고양이.svg", image())).json()
        assert (made["kind"], made["name"]) == ("image", "고양이.svg")
        got = await client.get(f"/page/files/{made['id']}", headers=browser)
        assert (got.status_code, got.headers["content-type"]) == (200, "image/png")
        assert got.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert got.headers["x-content-type-options"] == "nosniff"
        stranger = {"cookie": f"{COOKIE}=browser-{'b' * 20}"}
        assert (await client.get(f"/page/files/{made['id']}", headers=stranger)).status_code == 404
        assert (await client.get(f"/page/files/{made['id']}")).status_code == 404
        page = (await put("x.html", b"<script>alert(1)</script>")).json()
        got = await client.get(f"/page/files/{page['id']}", headers=browser)
        assert got.headers["content-type"] == "text/plain; charset=utf-8"
        refused = await put("x.png", SCRIPT)
        assert (refused.status_code, refused.text) == (422, "SVG is not taken. Save it as PNG or JPEG.")
        assert (await put("x.png", b"x" * 2 * FILE_BYTES)).status_code == 413
        assert (await client.post("/page/files", files={"file": ("x", b"x")})).status_code == 401
    assert user_of(f"browser-{'a' * 20}") != user_of(f"browser-{'b' * 20}")


def test_a_status_of_another_version_does_not_say_whether_a_model_sees() -> None:
    assert StatusModel(id="m", kind="worker", state="ready").images is None
