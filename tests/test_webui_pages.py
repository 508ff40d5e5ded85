"""What the pages' listeners do, called as Gradio calls them: two tabs, a reload, a store that fails."""

from pathlib import Path

import pytest


async def test_two_tabs_keep_their_own_conversations(tmp_path: Path) -> None:
    from tests.support.webui_tab import Tab, chat_of

    async with chat_of(tmp_path) as (chat, client):
        one, two = Tab(chat), Tab(chat)
        await one.load()
        await two.load()
        await one.ask("탭 하나")
        await two.ask("탭 둘")
        await one.follow()
        await two.follow()
        await one.ask("하나 더")
        await one.follow()
        for tab, own, other in ((one, "탭 하나", "탭 둘"), (two, "탭 둘", "탭 하나")):
            await tab.load(tab.shown)
            assert own in tab.messages
            assert other not in tab.messages
        assert client.asked[-1] == ["탭 하나", "두 낱말", "하나 더"]


async def test_a_reload_before_the_answer_finds_it(tmp_path: Path) -> None:
    from tests.support.webui_tab import Tab, chat_of

    async with chat_of(tmp_path) as (chat, _):
        tab, reloaded = Tab(chat), Tab(chat)
        await tab.load()
        await tab.ask("질문")
        await reloaded.load(tab.shown)
        assert "두 낱말" in reloaded.messages
        assert "완료" in reloaded.told[-1]["line"]


async def test_what_was_deleted_is_brought_back_by_one_click(tmp_path: Path) -> None:
    from tests.support.webui_tab import Tab, chat_of
    from webui.pages.conversation_list import ListEvents

    async with chat_of(tmp_path) as (chat, _):
        tab = Tab(chat)
        await tab.load()
        await tab.ask("<b>질문</b>")
        await tab.follow()
        kept, listed = tab.shown, chat.page.conversations
        events = ListEvents(listed, chat.store, chat.show)
        tab.take(await events.delete(tab.request, kept))
        await tab.look()
        assert (tab.shown, tab.messages) == ("", "")
        assert "&lt;b&gt;질문" in tab.values[listed.deleted_note]
        tab.take(await events.restore(tab.request, tab.values[listed.deleted]))
        await tab.look()
        assert tab.shown == kept
        assert "두 낱말" in tab.messages


async def test_another_browser_sees_nothing_of_it(tmp_path: Path) -> None:
    from tests.support.webui_tab import Tab, chat_of

    async with chat_of(tmp_path) as (chat, _):
        tab, stranger = Tab(chat), Tab(chat, "browser-" + "b" * 20)
        await tab.load()
        await tab.ask("비밀")
        await tab.follow()
        await stranger.load(tab.shown)
        assert (stranger.shown, stranger.messages) == ("", "")


@pytest.mark.parametrize(
    ("failure", "words"), [("store", "저장하거나 불러오지 못했습니다"), ("cookie", "쿠키")]
)
async def test_what_cannot_be_kept_is_told_and_the_screen_stays(
    failure: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gradio as gr

    from tests.support.webui_tab import Tab, chat_of
    from webui.pages.parts import told_failures

    told: list[str] = []
    monkeypatch.setattr("webui.pages.parts.tell", told.append)
    (tmp_path / "webui.db").mkdir()
    async with chat_of(tmp_path) as (chat, client):
        tab = Tab(chat)
        if failure == "cookie":
            tab.request = gr.Request(headers={"accept-language": "ko"}, query_params={}, state=None)
        tab.values[chat.page.composer.question] = "사라지면 안 되는 질문"
        assert await told_failures(chat.begin)(tab.request, tab.values) == gr.skip()
    assert words in told[0]
    assert client.asked == []


async def test_no_listener_refuses_a_choice_from_a_list_that_this_process_does_not_know(
    tmp_path: Path,
) -> None:
    import gradio as gr

    from tests.support.webui_tab import Words
    from webui.answering import Answering
    from webui.pages.app import build_pages
    from webui.pages.page_events import PageEvents
    from webui.status_cache import StatusCache
    from webui.store.page_store import PageStore

    client, store = Words(), PageStore(f"sqlite:///{tmp_path / 'webui.db'}")
    answering = Answering(client, store.conversations.write_answer, without_page_s=60)
    demo = build_pages("http://gateway", client, StatusCache(client), store, answering, PageEvents())
    chosen = [
        one
        for one in demo.fns.values()
        if one.fn and any(isinstance(each, gr.Dropdown | gr.Radio) for each in one.inputs)
    ]
    assert {"picked", "move"} <= {one.name for one in chosen}
    assert [one.name for one in chosen if one.preprocess] == []
    await store.close()
