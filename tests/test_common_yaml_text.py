"""YAML that people write: broken files are told by line, without what stands in them."""

import contextlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.yaml_text import BrokenYaml, parse_yaml


def test_values_come_as_yaml_has_them() -> None:
    assert parse_yaml("이름: 돌리\nlora: {rank: 8}\n") == {"이름": "돌리", "lora": {"rank": 8}}
    assert parse_yaml("") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: " + "[" * 1000, "nested too deeply"),
        ("name: " + "[" * 1000 + "]" * 1000, "nested too deeply"),
        ("name: " + "{a: " * 150 + "1" + "}" * 150, "nested too deeply"),
        ("name: &a [*a]", "nested too deeply"),
        ("- " * 5000, "nested too deeply"),
        ("created: 2024-13-45", "a value cannot be read"),
        ("a: 1\nb: [", "^line 2: "),
        ("a: \x00", "line|cannot be parsed"),
    ],
)
def test_broken_files_are_told_in_one_line(text: str, words: str) -> None:
    with pytest.raises(BrokenYaml, match=words) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)


def test_many_aliases_of_one_list_are_no_work() -> None:
    names = "abcdefghijklmnopqrstuvwxyz"
    lines = [f"{one}: &{one} [{', '.join([f'*{before}'] * 9)}]" for before, one in pairwise(names)]
    assert set(parse_yaml("\n".join(["a: &a [1]", *lines]))) == set(names)


@given(st.text("[]{}:,-*&!|>'\"%@ \n\tab1.", max_size=60))
def test_nothing_but_broken_yaml_is_raised(text: str) -> None:
    with contextlib.suppress(BrokenYaml):
        parse_yaml(text)
