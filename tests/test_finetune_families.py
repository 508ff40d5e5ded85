"""Every architecture with its real prompt format: trained, merged, served by vLLM, asked, and stopped."""

from pathlib import Path

import pytest

from tests.support.family_matrix import PAGE, run_family, table_row
from tests.support.tiny_families import FAMILIES, Family

pytestmark = pytest.mark.slow


@pytest.mark.timeout(600)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.key)
def test_the_family_answers_what_each_method_taught_it(family: Family, tmp_path: Path) -> None:
    outcome = run_family(family, tmp_path)
    assert table_row(family, outcome) in PAGE.read_text(encoding="utf-8").splitlines()


def test_the_page_has_a_line_for_every_family_and_no_other() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("| Architecture"))
    families = [line.split(" | ")[:2] for line in lines[first + 2 : first + 2 + len(FAMILIES)]]
    assert families == [[f"| {family.name}", family.template] for family in FAMILIES]
