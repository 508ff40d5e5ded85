"""The pages' style sheets, as Gradio takes them."""

import re


def test_a_rule_for_the_dark_scheme_has_one_selector() -> None:
    """Of a list, Gradio rewrites the first `.dark` alone, and the other selectors match nothing."""
    from webui.pages.app import page_style

    rules = re.findall(r"([^{}]+)\{[^{}]*\}", re.sub(r"/\*.*?\*/", "", page_style(), flags=re.DOTALL))
    dark = [selectors.strip() for selectors in rules if ".dark" in selectors]
    assert len(dark) > 5
    assert [selectors for selectors in dark if "," in selectors] == []
