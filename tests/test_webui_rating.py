"""Votes and ratings of a comparison, through the listeners of its page: corrected, incomplete, blind."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from webui.conversation import Mark

if TYPE_CHECKING:
    from tests.support.webui_judged import Judged
    from webui.pages.export_buttons import FileKind


@pytest.fixture
async def judged(tmp_path: Path) -> "AsyncIterator[Judged]":
    from tests.support.webui_judged import judged_comparison

    async with judged_comparison(tmp_path) as made:
        yield made


async def test_a_vote_is_corrected_and_the_correction_is_not_blind(judged: "Judged") -> None:
    updates = await judged.vote("left")
    assert all(updates[button]["interactive"] for button in judged.page.vote.choices.values())
    await judged.vote("left")
    updates = await judged.vote("right")
    assert [(vote.choice, vote.blind) for vote in judged.gateway.votes] == [("left", True), ("right", False)]
    assert list((await judged.now()).votes.values()) == ["right"]
    assert updates[judged.page.vote.choices["right"]]["variant"] == "primary"
    assert updates[judged.page.vote.choices["left"]]["variant"] == "secondary"


async def test_speed_and_length_are_hidden_until_the_vote(judged: "Judged") -> None:
    pane, view = judged.page.panes[0], judged.feedback.view
    assert " names" not in view.whole(await judged.now(), "ko")[pane.chat]
    hidden = await judged.told("left")
    assert "완료" in hidden["line"]
    assert not any(figure in hidden["line"] for figure in ("123", "45", "67"))
    assert hidden["model"] == ""
    # This word has the page's script ask once more for what was hidden.
    assert " names" in (await judged.vote("tie"))[pane.chat]
    shown = await judged.told("left")
    assert all(figure in shown["line"] for figure in ("123 ms", "45", "67.0"))
    assert shown["model"] == "model-left"


async def test_tags_without_a_score_are_kept_and_the_page_says_what_is_missing(judged: "Judged") -> None:
    updates = await judged.rate(None, "tone")
    assert "점수를 고르면" in updates[judged.page.panes[0].rating_note]
    assert judged.gateway.ratings == []
    found = await judged.now()
    answer = found.sides["left"].turns[0]
    assert found.marks == {answer.id: Mark(score=None, tags=("tone",))}
    drawn = judged.feedback.view.side(judged.page.panes[0], found, "ko")
    assert drawn[judged.page.panes[0].tags]["value"] == ["tone"]
    await judged.rate(4, "tone")
    assert [(rating.score, rating.tags) for rating in judged.gateway.ratings] == [(4, ["tone"])]


@pytest.mark.parametrize(
    ("kind", "ending"), [("json", ".json"), ("markdown", ".md"), ("csv", ".csv"), ("png", ".png")]
)
async def test_a_file_has_its_date_in_its_name(judged: "Judged", kind: "FileKind", ending: str) -> None:
    from webui.pages.export_buttons import save

    await judged.rate(None, "tone")
    files = judged.page.toolbar.files
    listener = save(files, judged.store.conversations, kind)
    file = (await listener(judged.request, judged.shown))[files.download]
    assert file["name"].startswith("comparison-20")
    assert file["name"].endswith(ending)
    assert "None/5" not in file["text"]


async def test_the_best_of_three_is_better_than_each_other_and_a_correction_takes_the_rest_back(
    tmp_path: Path,
) -> None:
    from tests.support.webui_judged import judged_comparison

    async with judged_comparison(tmp_path, sides=3) as judged:
        updates = await judged.vote("third")
        kept = list(judged.gateway.kept.values())
        assert [(vote.left.model, vote.right.model, vote.choice) for vote in kept] == [
            ("model-left", "model-third", "right"),
            ("model-right", "model-third", "right"),
        ]
        assert all(vote.blind for vote in kept)
        assert len({vote.comparison for vote in kept}) == 1
        assert kept[0].comparison is not None
        assert (
            "3번이 가장 나음 (1번 model-left · 2번 model-right · 3번 model-third)"
            in updates[judged.page.vote.note]
        )
        assert updates[judged.page.vote.best["third"]]["variant"] == "primary"
        await judged.vote("left")
        pairs = {(vote.left.model, vote.right.model): vote for vote in judged.gateway.kept.values()}
        assert {models: vote.choice for models, vote in pairs.items()} == {
            ("model-left", "model-right"): "left",
            ("model-left", "model-third"): "left",
        }
        assert {vote.comparison for vote in pairs.values()} == {kept[0].comparison}
        assert not any(vote.blind for vote in pairs.values())
        await judged.vote("both_bad")
        assert [vote.choice for vote in judged.gateway.kept.values()] == ["both_bad"] * 3
        assert list((await judged.now()).votes.values()) == ["both_bad"]
