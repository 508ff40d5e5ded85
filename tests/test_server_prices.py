"""What usage has cost, and how often moderation has withheld or flagged: as reports tell it."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from server.accounts.ledger import Entry, Ledger, UsageReport
from server.accounts.prices import Prices
from server.record import BLOCKED, FLAGGED, Usage
from server.settings import GatewaySettings, Price
from server.store.opening import open_store

PRICES = Prices(
    {
        "dolly-2": Price(prompt=1, completion=10),
        "gpt-4o-mini": Price(prompt=2, completion=4, cached=0.5),
        "free": Price(prompt=0, completion=0),
    },
    "USD",
)
DAY = 740_000


async def test_each_token_costs_what_its_model_costs(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path / 'k.db'}") as store:
        ledger = Ledger(store.database)
        for key, model, arm, spent in (
            ("a", "chat", "dolly-2", Usage(1_000_000, 100_000)),  # the arm's price: 1 + 1
            ("a", "openai/gpt-4o-mini", "", Usage(1_000_000, 500_000, 400_000)),  # 0.6 x 2 + 0.4 x 0.5 + 2
            ("b", "free", "", Usage(7, 7)),
            ("b", "unknown", "", Usage(3, 4)),
        ):
            ledger.add(Entry(key, model, arm, "", DAY), "ok", spent)
        await ledger.flush()
        report = UsageReport(store.database, PRICES)
        rows = await report.priced_rows("key")
        told = {row["key"]: (row["cost"], row["unpriced_tokens"]) for row in rows}
        assert told == {"a": (pytest.approx(2 + 3.4), 0), "b": (0, 7)}
        (day,) = await report.priced_rows("day")
        assert (day["cost"], day["unpriced_tokens"]) == (pytest.approx(5.4), 7)
        (unpriced,) = await UsageReport(store.database).priced_rows("day")
        assert "cost" not in unpriced


async def test_what_moderation_did_is_counted_beside_how_requests_ended(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path / 'k.db'}") as store:
        ledger = Ledger(store.database)
        entry = Entry("a", "dolly", "", "", DAY)
        ledger.add(entry, "refused", None, BLOCKED)
        ledger.add(entry, "ok", Usage(1, 1), FLAGGED)
        ledger.add(entry, "failed", None, "upstream_failed")
        await ledger.flush()
        (row,) = await UsageReport(store.database).rows("model")
    assert (row["withheld"], row["flagged"]) == (1, 1)
    assert (row["ok"], row["refused"], row["failed"]) == (1, 1, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"prices": {"m": {"prompt": -1, "completion": 0}}},
        {"prices": {"m": {"prompt": 1}}},
        {"prices": {"m": {"prompt": "nan", "completion": 0}}},
        {"currency": "won"},
    ],
)
def test_prices_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GatewaySettings.model_validate(wrong)
