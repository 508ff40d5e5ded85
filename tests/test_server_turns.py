"""Turns of `kodolly improve` are kept as they tell of themselves, the newest first wherever they ran."""

from pathlib import Path

from common.improvement import ImprovementTurn
from server.store.opening import open_store
from server.store.turns import ImprovementTurns


def turn(begun: str) -> ImprovementTurn:
    return ImprovementTurn.model_validate(
        {
            "model": "돌리",
            "turn": "improve-1",
            "begun": begun,
            "checkpoint": "0123456789ab",
            "method": "lora",
            "why": "정정 50개",
            "counts": {},
            "step": "train",
        }
    )


async def test_turns_of_machines_in_other_time_zones_are_in_order(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path / 'gateway.db'}") as store:
        turns = ImprovementTurns(store.database)
        await turns.put("older", turn("2026-11-29T09:00:00+09:00"))
        await turns.put("newer", turn("2026-11-29T01:00:00+00:00"))
        assert [one.id for one in await turns.newest()] == ["newer", "older"]
