"""Studies in a store of their own, with answers that are there at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from common.feedback import Sampling
from webui.conversation import Setup
from webui.store.page_store import PageStore
from webui.store.studies import NewStudy
from webui.study.plan import StudyKind, StudyPrompt, Task, TaskJudgement

SAMPLING = Sampling(temperature=0.2, top_p=1.0, max_tokens=64)


@asynccontextmanager
async def page_store(folder: Path, url: str | None = None) -> AsyncIterator[PageStore]:
    """A store, by default in a file; another one over the same database is another process to it."""
    store = PageStore(url or f"sqlite:///{folder / 'webui.db'}")
    try:
        yield store
    finally:
        await store.close()


async def make_study(
    store: PageStore,
    prompts: int = 3,
    raters: int = 2,
    kind: StudyKind = "vote",
    models: tuple[str, ...] = ("base", "dolly"),
) -> str:
    """A study of which no answer is there yet."""
    asked = tuple(StudyPrompt(f"질문 {number}") for number in range(prompts))
    setups = tuple(Setup(model=model, sampling=SAMPLING) for model in models)
    return await store.studies.make(NewStudy("평가", kind, setups, raters, True, asked))


async def answer_all(store: PageStore) -> None:
    """Every model has answered everything."""
    while errands := await store.study_errands.answers_to_fetch(50):
        for errand in errands:
            done = {"state": "done", "answer": f"{errand.turn.setup.model}의 답", "finish_reason": "stop"}
            request = {"request_id": f"req-{errand.turn.id}"}
            assert await store.study_errands.fetched(errand, errand.turn.model_copy(update=done | request))


async def take(store: PageStore, study: str, user: str) -> Task:
    """The task of a user who gets one."""
    task = await store.study_tasks.take(study, user, f"rater-{user}")
    assert isinstance(task, Task)
    return task


async def rate_to_the_end(store: PageStore, study: str, user: str, said: TaskJudgement) -> int:
    """Take and judge until there is nothing left for the user; how many were judged."""
    count = 0
    while isinstance(task := await store.study_tasks.take(study, user, f"rater-{user}"), Task):
        await store.study_tasks.judge(task.id, user, f"rater-{user}", said, 1.0)
        count += 1
        await asyncio.sleep(0)
    return count
