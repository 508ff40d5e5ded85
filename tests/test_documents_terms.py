"""Terms: Korean words in all their forms, what no dictionary knows, and text that nobody would write."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents.search.terms import terms_of


def terms(text: str) -> set[str]:
    return set(terms_of([text])[0])


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("연차휴가는 15일이다", "연차 휴가를", {"m연차", "m휴가", "p연차"}),
        ("음식을 맛볼 수 있다", "맛보았다", {"m맛보"}),
        (unicodedata.normalize("NFD", "경조금을"), "경조금은", {"m경조", "p경조", "p조금"}),
        ("뷁쉙은", "뷁쉙이", {"p뷁쉙"}),
        ("C++ 로", "c++", {"mc++"}),
        ("3,000원을", "3000원", {"m3000", "m원"}),
        ("1.5배", "1.5", {"m1.5"}),
        ("챗GPT로", "챗gpt", {"mgpt"}),
        ("學校에", "學校", {"m學校"}),
        ("１５일", "15일", {"m15", "p15", "p5일"}),
        ("85㎡ 이하", "85m2", {"m85", "p85", "p5m", "pm2"}),
        ("50㎏", "50KG", {"p50", "p0k", "pkg"}),
        ("제Ⅱ장", "제II장", {"p제i", "pii", "pi장"}),
        ("o\ufb03ce", "office", {"moffice"}),
        ("ＡＢＣ", "abc", {"mabc"}),
    ],
)
def test_what_means_the_same_shares_terms(one: str, other: str, shared: set[str]) -> None:
    assert shared <= terms(one) & terms(other)


def test_particles_and_endings_are_no_terms() -> None:
    assert {one for one in terms("직원은 회사에서 일하였다") if one.startswith("m")} == {
        "m직원",
        "m회사",
        "m일",
    }


@pytest.mark.parametrize("cut", ["\0", "\ud800", "\r\n", "\u2028", "\u00a0", "\u3000", "\t"])
def test_what_stands_behind_a_sign_that_means_nothing_is_found(cut: str) -> None:
    assert {"m연차", "m승인"} <= terms(f"연차{cut}승인")


def test_text_without_spaces_is_read_to_its_end() -> None:
    assert "m승인" in terms("a" * 20_000 + " 승인")
    assert "m승인" in terms("가" * 20_000 + " 승인")


@given(st.text())
def test_no_term_holds_white_space(text: str) -> None:
    assert all(one and one == "".join(one.split()) for one in terms(text))
