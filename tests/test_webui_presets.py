"""Settings under a name: whose they are, who may use them; and the context of a question."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from common.feedback import Sampling
from common.template_facts import CONTEXT_MARK
from webui.conversation import Setup, Side
from webui.store.page_store import PageStore
from webui.store.presets import Preset

ANNA, BORA = "anna", "bora"
SHORT = Preset(system="짧게 답하세요.", sampling=Sampling(temperature=0.7, top_p=0.9, max_tokens=64))
LONG = Preset(system="길게 답하세요.", sampling=Sampling(temperature=0.2, top_p=1.0, max_tokens=512))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[PageStore]:
    made = PageStore(f"sqlite:///{tmp_path / 'webui.db'}")
    yield made
    await made.close()


async def names(store: PageStore, user: str) -> list[tuple[str, bool, bool]]:
    return [(one.name, one.shared, one.mine) for one in await store.presets.listed(user)]


async def test_a_preset_is_its_owners_until_it_is_shared(store: PageStore) -> None:
    await store.presets.keep(ANNA, "  짧게 \n 답하기 ", SHORT, shared=False)
    assert await names(store, ANNA) == [("짧게 답하기", False, True)]
    assert await names(store, BORA) == []
    kept = await store.presets.keep(ANNA, "짧게 답하기", LONG, shared=True)
    await store.presets.keep(BORA, "짧게 답하기", SHORT, shared=False)
    assert await names(store, BORA) == [("짧게 답하기", False, True), ("짧게 답하기", True, False)]
    assert [one.preset for one in await store.presets.listed(BORA)] == [SHORT, LONG]
    assert kept is not None
    assert not await store.presets.delete(BORA, kept)
    assert await store.presets.delete(ANNA, kept)
    assert await names(store, ANNA) == []


async def test_a_preset_needs_a_name(store: PageStore) -> None:
    assert await store.presets.keep(ANNA, " \n", SHORT, shared=True) is None
    assert await names(store, BORA) == []


async def test_what_one_tab_saves_another_can_choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support.webui_tab import Tab, chat_of

    told: list[str] = []
    monkeypatch.setattr("webui.pages.preset_events.tell", told.append)
    async with chat_of(tmp_path) as (chat, _):
        one, other = Tab(chat), Tab(chat, "browser-" + "b" * 20)
        side = chat.page.setup
        for tab in (one, other):
            await tab.load()
        given: dict[Any, Any] = {side.system: SHORT.system, side.temperature: 0.7, side.top_p: 0.9}
        given |= {side.max_tokens: 64, side.presets.name: "짧게", side.presets.shared: True}
        one.take(await chat.presets.keep(side)(one.request, given))
        assert "‘짧게’ 설정을 저장했습니다." in told[-1]
        await other.load()
        (choice,) = (await chat.presets.load(other.user, "ko"))[side.presets.picker]["choices"]
        assert choice[0] == "짧게 · 다른 사람"
        other.take(await chat.presets.chosen(side)(other.request, choice[1]))
        assert [other.values[part] for part in side.settings] == [SHORT.system, 0.7, 0.9, 64]
        await chat.presets.delete(side)(other.request, choice[1])
        assert "내가 저장한 설정만" in told[-1]
        await chat.presets.delete(side)(one.request, choice[1])
        await chat.presets.chosen(side)(other.request, choice[1])
        assert told[-1] == "이 설정은 지워졌습니다."


async def test_a_context_goes_where_models_learn_to_read_it_and_comes_back_with_its_question(
    tmp_path: Path,
) -> None:
    from tests.support.webui_tab import Tab, chat_of

    async with chat_of(tmp_path) as (chat, client):
        tab = Tab(chat)
        await tab.load()
        tab.values[chat.page.composer.context] = " 민수는 어제 떠났다.\n"
        await tab.ask("누가 떠났나요?")
        await tab.follow()
        assert tab.told[0]["context"] == "민수는 어제 떠났다."
        tab.values[chat.page.composer.context] = ""
        await tab.ask("언제요?")
        await tab.follow()
        asked = "누가 떠났나요?\n\nInput:\n민수는 어제 떠났다."
        assert client.asked == [[asked], [asked, "두 낱말", "언제요?"]]
        tab.take(await chat.undo(tab.request, tab.shown, "", ""))
        tab.take(await chat.undo(tab.request, tab.shown, "", ""))
        assert tab.values[chat.page.composer.question] == "누가 떠났나요?"
        assert tab.values[chat.page.composer.context] == "민수는 어제 떠났다."


def test_a_row_made_of_feedback_has_the_context_apart() -> None:
    setup = Setup(model="m", sampling=SHORT.sampling)
    side = Side().ask("누가?", setup)
    asked = side.with_last(context="민수", answer="민수", state="done").judged().messages[-1].content
    assert asked.partition(CONTEXT_MARK) == ("누가?", CONTEXT_MARK, "민수")
