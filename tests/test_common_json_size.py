"""How many values a body holds is known before any object is made of them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import json_size
from common.json_size import MOST_VALUES, has_too_many_values


def values(value: object) -> int:
    """How many values there are, with arrays and objects themselves."""
    if isinstance(value, dict):
        return 1 + sum(map(values, value.values()))
    return 1 + sum(map(values, value)) if isinstance(value, list) else 1


TEXTS = st.text('a,[{"\\\n한') | st.integers()
TREES = st.recursive(TEXTS, lambda inner: st.lists(inner) | st.dictionaries(st.text('a,[{"\\'), inner))


@given(TREES, st.booleans(), st.integers(1, 40))
def test_the_count_is_right(tree: object, spaced: bool, most: int) -> None:
    body = json.dumps(tree, ensure_ascii=False, indent=1 if spaced else None).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_size, "MOST_VALUES", most)
        found = has_too_many_values(body)
    # An empty array begins no value, and the first value of all stands behind no sign.
    if values(tree) <= most:
        assert not found
    if values(tree) > 2 * most + 1:
        assert found


@pytest.mark.parametrize("piece", [b"1,", b"{},", b"[", b'"",', b'"a":1,', b'"\\\\",'])
def test_very_many_values_are_seen(piece: bytes) -> None:
    assert has_too_many_values(b"[" + piece * (5 * MOST_VALUES) + b"0]")


@pytest.mark.parametrize("text", ["가, 나. ", '\\" [{', "\\\\, "])
def test_a_long_text_is_one_value(text: str) -> None:
    assert not has_too_many_values(json.dumps({"content": text * 300_000}).encode())
