"""The sheets of the Gradio pages, which all stand in one document."""

import re
from collections import defaultdict
from pathlib import Path

WEBUI = Path(__file__).parents[1] / "webui"
SHEETS = (
    "style.css",
    "files/files.css",
    "opinions/opinions.css",
    "pages/documents/documents.css",
    "pages/history.css",
    "pages/shortcuts.css",
)
SHARED = {"kd-header", "kd-composer", "kd-log"}
"""Parts that all pages have, to whose look some add."""


def test_a_class_gets_its_look_from_one_sheet() -> None:
    """Two parts that use the same name for different things change each other's look."""
    sheets: dict[str, set[str]] = defaultdict(set)
    for sheet in SHEETS:
        rules = re.sub(r"/\*.*?\*/", "", (WEBUI / sheet).read_text(encoding="utf-8"), flags=re.DOTALL)
        for selectors in re.findall(r"([^{};]+)\{", rules):
            for selector in selectors.split(","):
                if found := re.match(r"\s*(?:\.dark\s+)?\.(kd-[\w-]+)", selector):
                    sheets[found[1]].add(sheet)
    assert len(sheets) > 50
    assert {name: found for name, found in sheets.items() if len(found) > 1 and name not in SHARED} == {}


def test_no_sheet_is_left_out() -> None:
    """But for those of pages that are not Gradio's, which are documents of their own."""
    plain = {"plain_page.css", "login/login.css", "admin/admin.css", "sharing/shared.css", "study/study.css"}
    found = {str(file.relative_to(WEBUI)) for file in WEBUI.rglob("*.css") if "vendor" not in file.parts}
    assert found - plain == set(SHEETS)
