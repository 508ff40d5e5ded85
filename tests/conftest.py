"""What all tests share in being collected."""

import functools
import gc
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

if TYPE_CHECKING:  # what a run without a browser does not load
    from playwright.sync_api import Browser

    from tests.support.webui_driver import WebUi
    from tests.support.webui_stage import Stage

CONFORMANCE = "tests/conformance/"

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that runs the tests in the background has all they start ignore Ctrl-C, which some wait for.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def one_tls_context() -> Iterator[None]:
    """Each client and each `httpx2.get` would read all certificates of the system for a question over plain
    HTTP: 50 ms of CPU, as much as a wait that polls every 50 ms can burn."""
    import httpcore2

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpcore2, "default_ssl_context", functools.cache(httpcore2.default_ssl_context))
        yield


@pytest.fixture(scope="session", autouse=True)
def patient_requests() -> Iterator[None]:
    """A request that names no limit has more than httpx's five seconds, which a busy machine may need."""
    import httpx2
    from httpx2._config import DEFAULT_TIMEOUT_CONFIG

    from tests.support.processes import PATIENCE_S

    with pytest.MonkeyPatch.context() as patch:
        for name, seconds in httpx2.Timeout(PATIENCE_S).as_dict().items():
            patch.setattr(DEFAULT_TIMEOUT_CONFIG, name, seconds)
        yield


@pytest.fixture(scope="session", autouse=True)
def stores_are_made_once() -> Iterator[None]:
    """Hundreds of tests begin with a store of their own."""
    from common.database_opening import Schema
    from tests.support.new_stores import once

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Schema, "migrate", once(Schema.migrate))
        yield


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One for all tests of this process that need an empty database and no more of it."""
    from tests.support.postgres import binaries, postgres
    from tests.support.programs import absent

    if binaries() is None:
        absent("postgresql")
    with postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """An empty database, as SQLAlchemy names it."""
    from tests.support.postgres import new_database

    return new_database(postgres_server)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Stage]":
    """A gateway before scripted engines, and a web UI of it."""
    from tests.support.webui_stage import running_stage

    with running_stage(tmp_path_factory.mktemp("stage")) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium, one for a file: an event loop of its driver runs as long as it does."""
    from tests.support.webui_stage import chromium_or_skip

    with chromium_or_skip() as made:
        yield made


@pytest.fixture
def new_ui(browser: "Browser", stage: "Stage") -> "Iterator[Callable[..., WebUi]]":
    """Makes pages of the stage that know nothing of each other."""
    from tests.support.webui_stage import fresh_pages

    with fresh_pages(browser, stage) as make:
        yield make


@pytest.fixture
def ui(new_ui: "Callable[..., WebUi]") -> "WebUi":
    """One page of the stage."""
    return new_ui()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests which passed have printed."""
    terminalreporter.section("figures")
    for report in terminalreporter.stats.get("passed", ()):
        if report.capstdout.strip():
            terminalreporter.write_line(report.nodeid.partition("::")[2])
            terminalreporter.write_line(report.capstdout.strip("\n"))


LONGEST = (
    "tests/test_finetune_families.py",
    "tests/test_end_to_end.py",
    CONFORMANCE,
    "tests/test_documents_",
    "tests/test_kodolly_deploy.py",
    "tests/test_finetune_eval_models.py",
    "tests/test_server_reliability.py",
    "tests/test_finetune_distributed.py",
    "tests/test_finetune_resume.py",
    "tests/test_finetune_token_parity.py",
    "tests/test_finetune_merge_models.py",
)
"""What takes minutes, the longest first: a run that ends with one of these leaves the other cores idle."""


TOGETHER = (CONFORMANCE, "tests/test_documents_")
"""Files that share what takes longer to start than a hundred of their tests: two stacks; Kiwi's models."""
TOGETHER_WHEN_FAST = (*TOGETHER, "tests/test_webui_")
"""The same where no browser runs: Gradio, which takes five seconds to import."""


class ByStack(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """The tests of a file share a process, and so do files that share a stack. What takes longest is begun
    first."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        together = TOGETHER_WHEN_FAST if self.config.option.markexpr == "not slow" else TOGETHER
        return next((begin for begin in together if file.startswith(begin)), file)

    def _assign_work_unit(self, node: WorkerController) -> None:
        if longest := next((scope for scope in LONGEST if scope in self.workqueue), None):
            self.workqueue.move_to_end(longest, last=False)
        super()._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)  # also with -p no:xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByStack:
    """Called once, where tests run side by side."""
    return ByStack(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """What is collected stays to the end: nobody looks through it for garbage, then or later. What fast tests
    leave is looked through less often than usual: page tests spend a tenth of their time on that."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        if session.config.option.markexpr == "not slow":
            gc.set_threshold(20_000, 20, 20)
        gc.enable()


def pytest_unconfigure() -> None:
    """Libraries with checks of their own at the end (triton's bindings) take what nobody frees for a leak."""
    gc.unfreeze()


def all_slow(file: Path) -> bool:
    """Whether a file says that each of its tests is slow."""
    marks = ("pytestmark = pytest.mark.slow", "pytestmark = [pytest.mark.slow")
    return file.suffix == ".py" and any(
        line.startswith(marks) for line in file.read_text(encoding="utf-8").splitlines()
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave files whose tests are all slow alone when no slow test is wanted: many import torch, which takes
    longer than a hundred fast tests."""
    return (config.option.markexpr == "not slow" and all_slow(collection_path)) or None


COSTLY = {"torch", "transformers", "gradio", "anthropic"}
"""Seconds each, in each of the processes that share the tests, for each of them collects all."""


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A file with fast tests imports nothing costly while it is collected."""
    before = COSTLY & sys.modules.keys()
    report = yield
    loaded = sorted((COSTLY & sys.modules.keys()) - before)
    if loaded and collector.config.option.markexpr == "not slow" and not all_slow(collector.path):
        report.outcome = "failed"
        report.longrepr = (
            f"{collector.nodeid} has fast tests and imports {', '.join(loaded)} while it is collected. "
            "Import it inside the tests that need it, or mark the whole file: pytestmark = pytest.mark.slow"
        )
    if isinstance(collector, pytest.Directory):
        _begin_elsewhere(report.result, getattr(collector.config, "workerinput", None))
    return report


def _begin_elsewhere(files: list[pytest.Item | pytest.Collector], process: dict[str, Any] | None) -> None:
    """Each process that shares the tests begins to import them at another file, and finds the others compiled
    by then: in a fresh clone that takes as long as all else that is collected."""
    if process is not None:
        number = int(process["workerid"].removeprefix("gw"))
        first = len(files) * number // process["workercount"]
        files[:] = files[first:] + files[:first]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All processes that share the tests must have them in the same order."""
    items.sort(key=lambda item: item.nodeid.partition("::")[0])
