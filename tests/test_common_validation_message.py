"""What is wrong with a body is told by the names that its client has written."""

import pytest
from pydantic import BaseModel, Field, ValidationError

from common.validation_message import invalid_body


class Part(BaseModel):
    key: str = Field(max_length=3)
    value: int | bool | list[int]


class Body(BaseModel):
    query: str | list[str]
    parts: list[Part] = []
    facts: dict[str, int | bool] = {}


@pytest.mark.parametrize(
    ("given", "param", "told"),
    [
        ({}, "query", "Field required"),
        ({"query": 1}, "query", "Input should be a valid string, or: Input should be a valid list"),
        ({"query": ["a", 1]}, "query.1", "Input should be a valid string"),
        ({"query": "a", "parts": [{"key": "a"}]}, "parts.0.value", "Field required"),
        ({"query": "a", "parts": [{"key": "abcd", "value": 1}]}, "parts.0.key", "at most 3 characters"),
        ({"query": "a", "facts": {"x": {"y": 1}}}, "facts.x", "integer.*, or: .*boolean"),
    ],
)
def test_a_field_is_called_as_it_was_written(given: dict[str, object], param: str, told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Body.model_validate(given)
    errors = [{**one, "loc": ("body", *one["loc"])} for one in refused.value.errors()]
    error = invalid_body(errors, given)
    assert error.param == param
    with pytest.raises(type(error), match=f"^{param}: .*{told}"):
        raise error
