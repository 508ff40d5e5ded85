"""What usage has cost, by the prices of the settings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from server.settings import Price

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Prices:
    """All prices of the house."""

    of: Mapping[str, Price] = field(default_factory=dict)
    """By a model's name."""
    currency: str = ""


NO_PRICES = Prices()


@dataclass(frozen=True, slots=True)
class PricedTokens:
    """Tokens of one model in one group of a report."""

    group: str
    model: str
    """As it was asked for."""
    arm: str
    """The served model behind it where it is an alias, else ""."""
    prompt: int
    cached: int
    completion: int


@dataclass(slots=True)
class Cost:
    """What a group has cost."""

    cost: float = 0.0
    unpriced_tokens: int = 0
    """Tokens of models without a price; they are not in `cost`."""


def costs_of(rows: Iterable[PricedTokens], prices: Mapping[str, Price]) -> dict[str, Cost]:
    """The cost of each group."""
    found: dict[str, Cost] = {}
    for row in rows:
        cost = found.setdefault(row.group, Cost())
        price = _price_of(row, prices)
        if price is None:
            cost.unpriced_tokens += row.prompt + row.completion
            continue
        cached_price = price.prompt if price.cached is None else price.cached
        spent = (row.prompt - row.cached) * price.prompt + row.cached * cached_price
        cost.cost += (spent + row.completion * price.completion) / MILLION
    return found


def _price_of(row: PricedTokens, prices: Mapping[str, Price]) -> Price | None:
    """Of the served model, else of the name that was asked for, else of that without its provider."""
    names = (row.arm, row.model, row.model.partition("/")[2])
    return next((prices[name] for name in names if name in prices), None)
