"""Filters on the attributes of files, in OpenAI's shape
(https://platform.openai.com/docs/api-reference/vector-stores/search)."""

import operator
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

Scalar = bool | int | float | str
Attributes = Mapping[str, Scalar]
MOST_FILTERS, DEEPEST = 100, 8

_ORDERS: Mapping[str, Callable[[Scalar, Scalar], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


class Comparison(BaseModel):
    """One attribute against a value, or for `in` and `nin` against several."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    key: str = Field(max_length=64)
    value: Scalar | Annotated[list[Scalar], Field(max_length=1000)]

    @model_validator(mode="after")
    def _several_for_in(self) -> "Comparison":
        if self.type in ("in", "nin") and not isinstance(self.value, list):
            raise ValueError(f"{self.type} takes a list")
        return self

    def allows(self, attributes: Attributes) -> bool:
        """A file without the attribute differs from every value, and is in no order with one."""
        found = attributes.get(self.key)
        values = self.value if isinstance(self.value, list) else [self.value]
        if self.type in ("eq", "in"):
            return found is not None and any(_same(found, value) for value in values)
        if self.type in ("ne", "nin"):
            return found is None or not any(_same(found, value) for value in values)
        return found is not None and any(_ordered(found, value, self.type) for value in values)


class Compound(BaseModel):
    """Several filters."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["and", "or"]
    filters: list["Filter"] = Field(min_length=1, max_length=MOST_FILTERS)

    def allows(self, attributes: Attributes) -> bool:
        """Whether all of them, or one at least, allow it."""
        join = all if self.type == "and" else any
        return join(one.allows(attributes) for one in self.filters)


def _kind(value: object) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", "")
    return "compound" if kind in ("and", "or") else "comparison"


Filter = Annotated[
    Annotated[Comparison, Tag("comparison")] | Annotated[Compound, Tag("compound")], Discriminator(_kind)
]


def _same(found: Scalar, value: Scalar) -> bool:
    """True is not 1."""
    return isinstance(found, bool) == isinstance(value, bool) and found == value


def _ordered(found: Scalar, value: Scalar, kind: str) -> bool:
    """Numbers among each other, and texts among each other."""
    if isinstance(found, bool) or isinstance(value, bool) or isinstance(found, str) != isinstance(value, str):
        return False
    return _ORDERS[kind](found, value)
