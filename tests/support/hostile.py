"""The signs that a page has taken words (`hostile_words`) for HTML."""

from tests.support.webui_driver import WebUi

SIGNS = """() => [...document.querySelectorAll('.hostile')].map((made) => made.outerHTML.slice(0, 100))
    .concat('hacked' in window ? [`script ${window.hacked} ran`] : [])"""


def harm(ui: WebUi) -> list[str]:
    """What hostile words did on a page: elements made, scripts run, dialogs, errors, requests to
    other machines."""
    signs: list[str] = ui.page.evaluate(SIGNS)
    return signs + ui.dialogs + ui.errors + ui.foreign
