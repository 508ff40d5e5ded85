"""Drives the web UI in a real browser as a reader would. Elements are found by their ids:

Compare (`/`), S is `left` or `right`, and `third` and `fourth` where more models are compared
    compare-question, -send, -stop     the box at the bottom; -stop is there only while an answer comes in
    compare-blind, -clear              blind switch, new comparison
    compare-add, -remove               a model more or less
    compare-save-X, chat-save-X        downloads, X is markdown, json, csv or png
    compare-examples                   example questions (until the first question is sent)
    compare-banner, -hint              trouble with the gateway; how to add a provider's key
    compare-vote, -vote-note           the vote row and what it says
    vote-left, vote-tie, vote-both-bad, vote-right; of more than two best-S, best-tie, best-both-bad
    S-setup, S-model, S-settings       model picker and settings, gone while names are hidden
    S-system, S-temperature, S-top-p, S-max-tokens
    S-pane, S-state, S-chat            name and state of the model, the conversation
    S-metrics, S-notice                figures below the answer, the failure card
    S-retry, S-show-prompt, S-prompt-box, S-prompt-info, S-prompt
    S-rating-box, S-rating, S-tags, S-rating-note
    compare-panes, compare-sides       the answers; on a phone the tabs that say which one is seen
Chat (`/chat`)
    chat-question, -send, -stop, -chat, -metrics, -notice, -retry, -undo, -new,
    .kd-opinion-bar, .kd-opinion       below each answer: what its reader thinks of it
    chat-model, -settings, -system, -temperature, -top-p, -max-tokens, -state, -banner
Models (`/models`)
    models-cards, models-model, models-banner, models-X with X of webui.snippets.SNIPPETS
Compare and chat, P is `compare` or `chat`
    P-search, -history, -title, -pin, -delete, -deleted, -restore      the list of conversations
Every page: nav-compare, nav-chat, nav-models
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Dialog, Locator, Page, expect, sync_playwright

from tests.support.processes import wait_for

CHROMIUM = "/usr/bin/chromium"
CHROMIUM_ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT_MS = 60_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium."""
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        try:
            yield browser
        finally:
            browser.close()


class WebUi:
    """One browser page of the web UI. `foreign` collects every address outside of this machine, `dialogs`
    what the page asked in dialogs that were turned down, which all are unless `confirms` is set."""

    def __init__(self, browser: Browser, url: str, **context: Any) -> None:
        options = {"locale": "ko-KR", "viewport": {"width": 1280, "height": 900}} | context
        self._start(browser.new_context(**options), url)

    def _start(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.page: Page = context.new_page()
        self.page.set_default_timeout(TIMEOUT_MS)
        self.url = url
        self.foreign: list[str] = []
        self.errors: list[str] = []
        self.dialogs: list[str] = []
        self.confirms = False
        self.page.on("request", lambda request: self._note(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", self._answer_dialog)

    def tab(self) -> "WebUi":
        """Another tab of the same browser, closed with this one."""
        made = WebUi.__new__(WebUi)
        made._start(self.context, self.url)
        return made

    def _note(self, address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            self.foreign.append(address)

    def _answer_dialog(self, dialog: Dialog) -> None:
        if self.confirms:
            dialog.accept()
        else:
            self.dialogs.append(f"dialog: {dialog.message}")
            dialog.dismiss()

    def element(self, elem_id: str) -> Locator:
        return self.page.locator(f"#{elem_id}")

    def open(self, path: str = "/") -> "WebUi":
        """Load a page and wait until it shows what the gateway said."""
        self.page.goto(self.url + path)
        sign = {"/chat": "#chat-state .kd-chip", "/models": "#models-cards article"}
        self.page.locator(sign.get(urlsplit(path).path, "#right-state .kd-chip")).first.wait_for()
        return self

    # Compare

    def pick(self, model: str, where: str) -> None:
        """Choose a model; `where` is left, right, chat or models."""
        self._see(where)
        self.element(f"{where}-model").locator("input").click()
        self.page.get_by_role("option", name=model, exact=True).click()
        expect(self.page.get_by_role("option")).to_have_count(0)
        expect(self.element(f"{where}-model").locator("input")).to_have_value(model)

    def _see(self, side: str) -> None:
        """Go to a side where one is seen at a time: on a phone."""
        tab = self.element("compare-sides").locator(f"[data-side={side}]")
        if tab.is_visible():
            tab.click()
            expect(tab).to_have_attribute("aria-pressed", "true")

    def picked(self, where: str) -> Locator:
        """The picker's field; its value is the chosen model."""
        return self.element(f"{where}-model").locator("input")

    def _open_settings(self, side: str, box: Locator) -> None:
        """Open a side's settings unless `box`, one of them, shows, and wait until it can be written in.

        Gradio draws what an accordion holds when it is first opened, and in the next frame sets all of it to
        the values it had before: what was written in between is lost. Nobody writes that fast but a test.
        """
        if box.is_visible():
            return
        self.element(f"{side}-settings").locator("button").first.click()
        box.wait_for()
        # Idle first: by then Gradio has asked for its frame, and ours comes after it.
        self.page.evaluate("new Promise(done => requestIdleCallback(() => requestAnimationFrame(done)))")

    def set_system(self, side: str, words: str) -> None:
        """Open a side's settings and set its system prompt."""
        box = self.element(f"{side}-system").locator("textarea")
        self._open_settings(side, box)
        box.fill(words)
        box.press("Tab")
        expect(box).to_have_value(words)

    def set_number(self, side: str, setting: str, value: float) -> None:
        """Open a side's settings and type a number: `temperature`, `top-p` or `max-tokens`."""
        box = self.element(f"{side}-{setting}").locator("input[type=number]")
        self._open_settings(side, box)
        box.fill(str(value))
        box.press("Tab")

    def ask(self, question: str, page: str = "compare") -> None:
        """Write a question, press Enter and wait until it stands in every conversation of the page."""
        box = self.element(f"{page}-question").locator("textarea")
        box.fill(question)
        box.press("Enter")
        for where in ("left", "right") if page == "compare" else ("chat",):
            expect(self.element(f"{where}-chat").get_by_test_id("user").last).to_have_text(question)

    def clear(self) -> None:
        """Begin a new comparison; models and settings stay."""
        self.element("compare-clear").click()
        for side in ("left", "right"):
            expect(self.element(f"{side}-chat").get_by_test_id("user")).to_have_count(0)

    def answer(self, where: str) -> Locator:
        """The newest answer of `left`, `right` or `chat`."""
        return self.element(f"{where}-chat").get_by_test_id("bot").last

    def metrics(self, where: str) -> Locator:
        return self.element(f"{where}-metrics")

    def wait_finished(self, page: str = "compare") -> None:
        """Until no answer comes in any more."""
        expect(self.element(f"{page}-send")).to_be_visible()

    def come_back(self) -> None:
        """What the browser tells a page that is looked at again."""
        self.page.evaluate("window.dispatchEvent(new Event('focus'))")

    def look_again(self, elem_id: str, words: str) -> None:
        """Come back to the page, as from another window, until `words` stand there."""
        box = self.element(elem_id)

        def shown() -> bool:
            self.come_back()
            return words in (box.text_content() or "")

        wait_for(shown, TIMEOUT_MS / 1000, what=words)

    def rate(self, side: str, score: int, *tags: str) -> None:
        """Give a score and tick tags by their label."""
        self.element(f"{side}-rating").get_by_label(str(score), exact=True).check()
        for tag in tags:
            self.element(f"{side}-tags").get_by_label(tag, exact=True).check()

    def saved(self, page: str, kind: str) -> Path:
        """The file that one of the page's buttons hands over."""
        with self.page.expect_download() as begun:
            self.element(f"{page}-save-{kind}").click()
        assert re.fullmatch(r"(comparison|chat)-20[\d-]+\.\w+", begun.value.suggested_filename)
        return Path(begun.value.path())

    def nameless_buttons(self) -> list[str]:
        """Buttons that can be seen and have neither words, a picture nor a label."""
        found: list[str] = self.page.evaluate(
            """() => [...document.querySelectorAll("button")]
                .filter(b => b.offsetParent && !b.innerText.trim())
                .filter(b => !b.ariaLabel && !b.querySelector("svg, img"))
                .map(b => b.id || b.outerHTML)"""
        )
        return found

    def out_of_reach(self, *elem_ids: str) -> list[str]:
        """Those whose middle is out of the window or below something else."""
        found: list[str] = self.page.evaluate(
            """ids => ids.filter(id => {
                const one = document.getElementById(id), box = one.getBoundingClientRect();
                const top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
                return !one.contains(top);
            })""",
            elem_ids,
        )
        return found

    def overflow_px(self) -> int:
        """By how much the page is wider than the window."""
        width: int = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return width

    def compose_korean(self, elem_id: str, *syllables: str) -> None:
        """Type as a Korean input method does, Enter before the last syllable is committed included."""
        self.element(elem_id).locator("textarea").focus()
        session = self.context.new_cdp_session(self.page)
        key = {"key": "Process", "code": "Enter", "windowsVirtualKeyCode": 229}
        for number, syllable in enumerate(syllables):
            at = {"selectionStart": len(syllable), "selectionEnd": len(syllable)}
            session.send("Input.imeSetComposition", {"text": syllable, **at})
            if number == len(syllables) - 1:
                session.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **key})
            session.send("Input.insertText", {"text": syllable})
        session.send("Input.dispatchKeyEvent", {"type": "keyUp", **key})

    def close(self) -> None:
        """Close the page's context; a request that a test holds back is let go first."""
        if not self.page.is_closed():
            self.page.unroute_all(behavior="ignoreErrors")
        self.context.close()
