"""What raters and administrators ask of studies, answered in plain JSON."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from webui.choices import fresh_setup
from webui.failures import headline
from webui.status_cache import StatusCache
from webui.store.page_store import PageStore
from webui.store.studies import NewStudy, StudyOverview
from webui.study.errands import StudyWork
from webui.study.figures import study_figures
from webui.study.plan import Study, StudyKind, StudyProgress, StudyPrompt, Task, TaskJudgement
from webui.texts import Lang, text

Reply = dict[str, Any]
MOST_RATERS = 100
MOST_MODELS = 6


class NotThere(Exception):
    """There is no such study or task."""


class StudyRefused(Exception):
    """What was asked for makes no sense, or comes too late. Its text is for people."""


class StudyDesk:
    """Every method raises StoreFailed when the database does."""

    def __init__(self, store: PageStore, work: StudyWork, cache: StatusCache) -> None:
        self._store, self._work, self._cache = store, work, cache

    async def overview(self, user: str, *, admin: bool) -> Reply:
        """The studies that `user` may see, and what an administrator can make one of."""
        self._work.wake()  # another process may have died over them
        found = await self._store.studies.overviews(user)
        shown = [_overview(one, admin=admin) for one in found if one.study.open or admin]
        if not admin:
            return {"admin": False, "studies": shown}
        await self._cache.look()
        models = list(dict.fromkeys(model.id for model in self._cache.models if model.may_chat))
        return {"admin": True, "studies": shown, "models": models}

    async def make(
        self,
        name: str,
        kind: StudyKind,
        models: Sequence[str],
        raters: int,
        prompts: Sequence[StudyPrompt],
        lang: Lang,
        *,
        blind: bool,
    ) -> Reply:
        """A new study. Raises StudyRefused."""
        await self._cache.look()
        fits = len(models) == 2 if kind == "vote" else 1 <= len(models) <= MOST_MODELS
        if not fits or len(set(models)) != len(models):
            raise StudyRefused(text(lang, f"study_models_of_{kind}"))
        if unknown := [name for name in models if self._cache.find(name) is None]:
            raise StudyRefused(text(lang, "study_no_such_model", model=unknown[0]))
        if not 1 <= raters <= MOST_RATERS or not name.strip():
            raise StudyRefused(text(lang, "study_bad_form"))
        setups = tuple(fresh_setup(model, self._cache.find(model)) for model in models)
        new = NewStudy(name, kind, setups, raters, blind, tuple(prompts))
        study_id = await self._store.studies.make(new)
        self._work.wake()
        return {"id": study_id}

    async def report(self, study_id: str, lang: Lang) -> Reply:
        """What has come of a study, for administrators. Raises NotThere."""
        study = await self._study(study_id)
        judged = await self._store.studies.judgements(study_id)
        figures = await asyncio.to_thread(study_figures, study, judged)
        answers = (await self._store.studies.answers(study_id)).values()
        failed = {
            f"{turn.setup.model}: {headline(turn.failure, lang)}"
            for turn in answers
            if turn.failure is not None
        }
        return asdict(figures) | {"failures": sorted(failed)}

    async def set_open(self, study_id: str, *, is_open: bool) -> None:
        """Close a study, or go on with it. Raises NotThere."""
        if not await self._store.studies.set_open(study_id, is_open=is_open):
            raise NotThere
        self._work.wake()

    async def fetch_again(self, study_id: str) -> None:
        """Ask anew for answers that were given up."""
        await self._store.study_errands.fetch_failed_again(study_id)
        self._work.wake()

    async def next(self, study_id: str, user: str, lang: Lang) -> Reply:
        """The next task of a rater, or why there is none. Raises NotThere."""
        self._work.wake()
        rater = await self._store.users.rater_id(user)
        taken = await self._store.study_tasks.take(study_id, user, rater)
        if taken is None:
            raise NotThere
        progress = await self._store.study_tasks.progress(study_id, user)
        if isinstance(taken, Task):
            return _task(taken, progress)
        study = await self._study(study_id)
        said = text(lang, f"study_nothing_{taken}")
        return {"nothing": taken, "said": said, "study": _study(study), "progress": asdict(progress)}

    async def last(self, study_id: str, user: str) -> Reply:
        """What a rater has judged last, to be judged anew. Raises NotThere."""
        task = await self._store.study_tasks.last(study_id, user)
        if task is None:
            raise NotThere
        return _task(task, await self._store.study_tasks.progress(study_id, user))

    async def judge(
        self, task_id: str, user: str, judgement: TaskJudgement, seconds: float, lang: Lang
    ) -> Reply:
        """Keep a judgement, and give the next task. Raises NotThere, StudyRefused."""
        rater = await self._store.users.rater_id(user)
        kept = await self._store.study_tasks.judge(task_id, user, rater, judgement, seconds)
        if kept == "gone":
            raise NotThere
        if not isinstance(kept, Study):
            raise StudyRefused(text(lang, f"study_refused_{kept}"))
        return await self.next(kept.id, user, lang)

    async def hold(self, task_id: str, user: str) -> None:
        """A rater is still at a task."""
        await self._store.study_tasks.hold(task_id, user)

    async def leave(self, task_id: str, user: str) -> None:
        """A rater gives a task back."""
        await self._store.study_tasks.leave(task_id, user)

    async def _study(self, study_id: str) -> Study:
        study = await self._store.studies.find(study_id)
        if study is None:
            raise NotThere
        return study


def _study(study: Study) -> Reply:
    return {
        "id": study.id,
        "name": study.name,
        "kind": study.kind,
        "blind": study.blind,
        "raters": study.raters,
        "open": study.open,
    }


def _overview(one: StudyOverview, *, admin: bool) -> Reply:
    told = _study(one.study) | {"prompts": one.prompts, "progress": asdict(one.progress)}
    if admin:
        told |= {"models": [setup.model for setup in one.study.setups], "answers": asdict(one.answers)}
    return told


def _task(task: Task, progress: StudyProgress) -> Reply:
    """Neither speed nor length in tokens goes along: they tell models apart."""
    blind = task.study.blind
    return {
        "study": _study(task.study),
        "progress": asdict(progress),
        "task": {
            "id": task.id,
            "position": task.position,
            "question": task.prompt.question,
            "context": task.prompt.context,
            "answers": [
                {"text": turn.answer, "model": None if blind else turn.setup.model} for turn in task.answers
            ],
            "judgement": task.judgement.model_dump(mode="json") if task.judgement else None,
        },
    }
