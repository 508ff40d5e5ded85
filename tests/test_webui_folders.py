"""Folders for chats in the store, and how the list shows them."""

import asyncio
from pathlib import Path

import pytest

from tests.support.studies import SAMPLING, page_store
from webui.conversation import Setup
from webui.pages.history_html import history_html
from webui.store.folders import FolderNameTaken
from webui.store.history import Folder, History, Listed
from webui.store.page_store import PageStore

ANNA, BORA = "anna", "bora"
SETUP = Setup(model="m", sampling=SAMPLING)


async def asked(store: PageStore, question: str, user: str = ANNA) -> str:
    made = await store.conversations.ask(user, "chat", None, question, {"chat": SETUP})
    return made.id


async def filed(store: PageStore, search: str = "") -> list[tuple[str, str | None]]:
    """Title and name of the folder of each line."""
    names = {folder.id: folder.name for folder in (await store.conversations.history(ANNA, "chat")).folders}
    lines = (await store.conversations.history(ANNA, "chat", search)).lines
    return [(line.title, names[line.folder] if line.folder else None) for line in lines]


async def through_a_life(store: PageStore) -> None:
    minutes, travel = await store.folders.make(ANNA, " 회의록 "), await store.folders.make(ANNA, "여행")
    assert minutes is not None
    assert await store.folders.make(ANNA, "회의록") == minutes
    assert await store.folders.make(ANNA, "  ") is None
    first, _ = await asked(store, "첫 회의"), await asked(store, "그냥")
    assert await store.folders.move(ANNA, first, minutes)
    assert await filed(store) == [("첫 회의", "회의록"), ("그냥", None)]
    assert await filed(store, "회의") == [("첫 회의", "회의록")]
    with pytest.raises(FolderNameTaken):
        await store.folders.rename(ANNA, minutes, "여행")
    await store.folders.rename(ANNA, minutes, "👨‍👩‍👧‍👦" * 40)
    (family, _) = sorted(
        (await store.conversations.history(ANNA, "chat")).folders, key=lambda one: one.id != minutes
    )
    assert family.name == "👨‍👩‍👧‍👦" * (len(family.name) // 7)
    await store.folders.rename(ANNA, minutes, "모임")
    assert await store.folders.delete(ANNA, minutes) == Folder(minutes, "모임")
    assert await filed(store) == [("그냥", None), ("첫 회의", None)]
    assert not await store.folders.move(ANNA, first, minutes)
    again = await store.folders.make(ANNA, "모임")
    assert again != minutes
    with pytest.raises(FolderNameTaken):
        await store.folders.restore(ANNA, minutes)
    await store.folders.delete(ANNA, again or "")
    await store.folders.restore(ANNA, minutes)
    assert await filed(store) == [("첫 회의", "모임"), ("그냥", None)]
    await store.folders.move(ANNA, first, None)
    assert await filed(store) == [("그냥", None), ("첫 회의", None)]
    assert travel in {folder.id for folder in (await store.conversations.history(ANNA, "chat")).folders}


async def test_a_folder_is_made_renamed_deleted_and_brought_back(tmp_path: Path) -> None:
    async with page_store(tmp_path) as store:
        await through_a_life(store)


async def test_the_same_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    async with page_store(tmp_path, postgres_url) as store:
        await through_a_life(store)


async def test_two_tabs_make_one_folder(tmp_path: Path) -> None:
    async with page_store(tmp_path) as one, page_store(tmp_path) as other:
        made = await asyncio.gather(*[tab.folders.make(ANNA, "여행") for tab in (one, other) * 5])
        assert len(set(made)) == 1
        assert len((await one.conversations.history(ANNA, "chat")).folders) == 1


async def test_folders_are_their_makers_alone(tmp_path: Path) -> None:
    async with page_store(tmp_path) as store:
        mine, theirs = await store.folders.make(ANNA, "내 것"), await asked(store, "남의 대화", BORA)
        assert mine is not None
        assert not await store.folders.move(BORA, theirs, mine)
        assert await store.folders.delete(BORA, mine) is None
        await store.folders.rename(BORA, mine, "뺏음")
        await store.folders.restore(BORA, mine)
        await store.folders.move(ANNA, theirs, mine)
        assert (await store.conversations.history(ANNA, "chat")).folders == [Folder(mine, "내 것")]
        assert (await store.conversations.history(BORA, "chat")).folders == []
        (line,) = (await store.conversations.history(BORA, "chat")).lines
        assert line.folder is None


async def test_a_chat_in_a_folder_is_listed_however_many_newer_ones_there_are(tmp_path: Path) -> None:
    async with page_store(tmp_path) as store:
        oldest, folder = await asked(store, "가장 오래된"), await store.folders.make(ANNA, "보관")
        await store.folders.move(ANNA, oldest, folder)
        for number in range(101):
            await asked(store, f"새 대화 {number}")
        lines = await filed(store)
        assert lines[0] == ("가장 오래된", "보관")
        assert len(lines) == 101


HOSTILE = "<img src=x onerror=alert(1)>\"'&"


def test_names_and_titles_are_texts() -> None:
    lines = [Listed("c1", HOSTILE, pinned=True, folder="f1"), Listed("c2", HOSTILE, pinned=False)]
    drawn = history_html("chat", History(lines, [Folder("f1", HOSTILE)]), "c1", "ko", empty=True)
    assert "<img" not in drawn
    assert "\"'&" not in drawn
    assert drawn.count("&lt;img") == 10  # twice a title, and six times the folder's name


def test_a_search_shows_the_folders_of_what_it_found() -> None:
    line, folders = Listed("c1", "제목", pinned=False, folder="f1"), [Folder("f1", "가"), Folder("f2", "나")]
    assert "비어 있음" in history_html("chat", History([line], folders), None, "ko", empty=True)
    assert "나" not in history_html("chat", History([line], folders), None, "ko", empty=False)
    assert history_html("chat", History([], folders), None, "ko", empty=False) == ""
    assert "<fieldset" not in history_html(
        "chat", History([Listed("c", "t", pinned=False)], []), None, "en", empty=True
    )
