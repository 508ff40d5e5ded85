"""axe-core on a page: what somebody with a screen reader, a keyboard or weak eyes would run into."""

from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

from playwright.sync_api import Page

Scheme = Literal["light", "dark"]
RUN = """async () => {
    const frame = () => new Promise(requestAnimationFrame);
    await frame(); // the page has heard of its scheme
    await frame();
    for (const change of document.getAnimations()) try { change.finish(); } catch { /* it never ends */ }
    return (await axe.run(document, {resultTypes: ['violations']})).violations;
}"""


@cache
def axe_core() -> str:
    """Its script, as the package brings it along."""
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


def violations(page: Page) -> list[str]:
    """Of the page as it stands, in both colour schemes: a line for each, with scheme, rule, element and what
    is wrong with it."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe_core())
    schemes: tuple[Scheme, ...] = get_args(Scheme)
    found: list[str] = []
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        broken: list[dict[str, Any]] = page.evaluate(RUN)
        for rule in broken:
            found += [f"{scheme} {rule['id']}: {_told(node)}" for node in rule["nodes"]]
    return found


def _told(node: dict[str, Any]) -> str:
    reasons = [check["message"] for kind in ("any", "all", "none") for check in node[kind]]
    return f"{node['target']} {node['html'][:200]} {'; '.join(reasons)}"
