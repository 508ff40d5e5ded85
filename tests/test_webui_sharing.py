"""Conversations that are shown to others: what they see, and until when."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from common.feedback import Sampling
from tests.support.hostile_words import NAME
from tests.support.page_app import page_client
from webui.conversation import Setup
from webui.sharing.page import shared_html
from webui.store.conversations import PANES, Conversation, Kind
from webui.store.page_store import PageStore
from webui.texts import text

SETUP = Setup(model="비밀모델", sampling=Sampling(temperature=0.2, top_p=1.0, max_tokens=64))
ANNA, BORA = "anna", "bora"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[PageStore]:
    made = PageStore(f"sqlite:///{tmp_path / 'webui.db'}")
    yield made
    await made.close()


async def asked(
    store: PageStore, question: str, shown: str | None = None, kind: Kind = "chat", *, hidden: bool = False
) -> Conversation:
    kept, setups = store.conversations, dict.fromkeys(PANES[kind][:2], SETUP)
    made = await kept.ask(ANNA, kind, shown, question, setups, hidden=hidden)
    for side in made.sides.values():
        done = side.with_last(state="done", answer=f"답: {question}", finish_reason="stop")
        await kept.write_answer(done.turns[-1])
    return made


async def seen(store: PageStore, word: str | None) -> str | None:
    found = await store.shares.find(word or "")
    return shared_html(found, "ko", "shared.js", word or "") if found else None


async def test_others_see_what_stood_there_when_it_was_shared(store: PageStore) -> None:
    found = await asked(store, "하나")
    word = await store.shares.share(ANNA, found.id)
    await asked(store, "둘", found.id)
    page = await seen(store, word)
    assert page is not None
    assert "답: 하나" in page
    assert "둘" not in page
    assert await store.shares.share(ANNA, found.id) == word
    assert "답: 둘" in (await seen(store, word) or "")
    await store.conversations.withdraw(ANNA, found.id)
    assert "답: 둘" not in (await seen(store, word) or "")


async def test_a_share_ends_when_it_is_taken_back_and_rests_while_it_is_deleted(store: PageStore) -> None:
    found = await asked(store, "하나")
    first = await store.shares.share(ANNA, found.id)
    assert first is not None
    assert len(first) >= 24
    await store.conversations.delete(ANNA, found.id)
    assert await seen(store, first) is None
    restored = await store.conversations.restore(ANNA, found.id)
    assert restored is not None
    assert restored.share == first
    assert await seen(store, first) is not None
    await store.shares.take_back(ANNA, found.id)
    assert await seen(store, first) is None
    assert await store.shares.share(ANNA, found.id) != first


async def test_nobody_shares_or_takes_back_what_is_another_users(store: PageStore) -> None:
    found = await asked(store, "하나")
    assert await store.shares.share(BORA, found.id) is None
    word = await store.shares.share(ANNA, found.id)
    await store.shares.take_back(BORA, found.id)
    assert await seen(store, word) is not None


async def test_names_that_were_hidden_stay_so_and_what_is_foreign_stays_words(store: PageStore) -> None:
    found = await asked(store, NAME, kind="compare", hidden=True)
    word = await store.shares.share(ANNA, found.id)
    await store.conversations.show_names(ANNA, found.id)
    page = await seen(store, word)
    assert page is not None
    assert "비밀모델" not in page
    assert "왼쪽 답변" in page
    assert "<img" not in page
    await store.shares.share(ANNA, found.id)
    assert "왼쪽 답변: 비밀모델" in (await seen(store, word) or "")


async def test_a_store_that_is_away_is_told_in_readable_words(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no folder")
    async with page_client(tmp_path / "state") as client:
        answer = await client.get("/shared/abc", headers={"accept-language": "ko"})
    assert (answer.status_code, answer.headers["content-type"]) == (503, "text/plain; charset=utf-8")
    assert answer.text == text("ko", "store_failed")
