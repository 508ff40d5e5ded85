"""Studies behind their routes: files of prompts, roles, a gateway that fails, downloads."""

import asyncio
import csv
import io
import json
import threading
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

from common.feedback import Rating, Vote
from tests.support.page_app import page_client
from tests.support.processes import PATIENCE_S
from tests.support.studies import answer_all, make_study, page_store, take
from webui.chat_request import ChatRequest
from webui.failures import Failure
from webui.gateway_client import GatewayClient, GatewayError, StreamEvent
from webui.gateway_stream import Rest
from webui.store.page_store import PageStore
from webui.store.study_errands import MOST_ATTEMPTS
from webui.study.errands import UNREADABLE, Errander, StudyWork
from webui.study.figures import study_figures
from webui.study.files import file_text, judgement_rows
from webui.study.plan import StudyPrompt, TaskJudgement
from webui.study.prompts_file import MOST_BAD, MOST_PROMPTS, BadRow, read_prompts

KOREAN = '질문,맥락,분류\n"두 줄\n질문","지문, 쉼표",추출\n한글날은?,,\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16"])
def test_a_spreadsheet_in_korean_is_read(encoding: str) -> None:
    found = read_prompts(KOREAN.encode(encoding))
    assert found.bad == ()
    assert found.prompts == (StudyPrompt("두 줄\n질문", "지문, 쉼표", "추출"), StudyPrompt("한글날은?"))
    assert found.prompts[0].message == "두 줄\n질문\n\nInput:\n지문, 쉼표"


def test_json_lines_as_dolly_rows_are_read_and_normalised() -> None:
    decomposed = "\u1112\u1161\u11ab"
    lines = [{"instruction": decomposed, "context": "", "category": "open_qa", "response": "답"}]
    found = read_prompts("\n".join(json.dumps(line, ensure_ascii=False) for line in lines).encode())
    assert found.prompts == (StudyPrompt("한", "", "open_qa"),)


@pytest.mark.parametrize(
    ("content", "bad"),
    [
        (b"\xff\x00\x01", BadRow(0, "not_text")),
        (b"", BadRow(0, "empty")),
        (b"a,b\n1,2\n", BadRow(1, "no_question_column")),
        ("질문\n가\n가\n".encode(), BadRow(3, "twice")),
        ("질문,맥락\n가,나\n,나\n".encode(), BadRow(3, "no_question")),
        ("질문,맥락\n가,나,다\n".encode(), BadRow(2, "too_many_cells")),
        (b'{"prompt": "a"}\n{"prompt": 1}\n', BadRow(2, "not_words")),
        (b'{"prompt": "a"}\n{"prompt": "\\ud800"}\n', BadRow(2, "not_words")),
        (b'{"prompt": "a"}\n[]\n', BadRow(2, "not_json")),
        (("질문\n" + "가" * 100_001).encode(), BadRow(2, "too_long")),
        (("질문\n" + "a" * 1_000_000).encode(), BadRow(2, "cell_too_long")),
    ],
)
def test_each_line_that_is_no_prompt_is_told(content: bytes, bad: BadRow) -> None:
    assert bad in read_prompts(content).bad


def test_a_file_is_read_no_further_than_is_of_use() -> None:
    bad = read_prompts(("질문\n" + "가\n" * 3000).encode()).bad
    assert (bad[0], len(bad)) == (BadRow(0, "too_many_bad"), MOST_BAD + 1)
    many = read_prompts(("질문\n" + "".join(f"{number}\n" for number in range(9000))).encode())
    assert (many.bad, len(many.prompts)) == ((BadRow(0, "too_many"),), MOST_PROMPTS + 1)


class Gateway(GatewayClient):
    """Answers, and keeps feedback, unless it is told to fail."""

    def __init__(self) -> None:
        self.failing: Failure | None = None
        self.votes: dict[str, Vote] = {}
        self.ratings: dict[str, Rating] = {}
        self.calls = 0

    async def stream(
        self, request: ChatRequest, rest: Callable[[], Rest] | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        self._fail()
        yield StreamEvent(text=f"{request.model}: ", request_id=f"req-{self.calls}")
        yield StreamEvent(text=request.messages[-1].content, finish_reason="stop")

    async def send_vote(self, vote_id: str, vote: Vote) -> None:
        self._fail()
        self.votes[vote_id] = vote

    async def send_rating(self, rating_id: str, rating: Rating) -> None:
        self._fail()
        self.ratings[rating_id] = rating

    def _fail(self) -> None:
        self.calls += 1
        if self.failing is not None:
            raise GatewayError(self.failing)


async def done(store: PageStore, work: StudyWork) -> None:
    """Until no errand is left."""
    async with work.running():
        while await store.study_errands.next_answer() or await store.study_errands.next_judgement():
            work.wake()
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", ["vote", "score"])
async def test_answers_are_fetched_ahead_and_judgements_become_feedback_with_rater_and_study(
    tmp_path: Path, kind: Any
) -> None:
    gateway = Gateway()
    async with page_store(tmp_path) as store:
        work = StudyWork(gateway, store.study_errands)
        study_id = await make_study(store, prompts=2, raters=1, kind=kind)
        await done(store, work)
        said = TaskJudgement(choice="left") if kind == "vote" else TaskJudgement(scores=(5, 2), locale="en")
        task = await take(store, study_id, "anna")
        await store.study_tasks.judge(task.id, "anna", "rater-anna", said, 3.0)
        await done(store, work)
        study, judged = await store.studies.find(study_id), await store.studies.judgements(study_id)
    assert study is not None
    assert study_figures(study, judged).unsent == 0
    first = task.answers[0].setup.model
    if kind == "vote":
        (vote,) = gateway.votes.values()
        assert (vote.left.model, vote.left.answer) == (first, f"{first}: {task.prompt.message}")
        about: Vote | Rating = vote
    else:
        scores = {one.answer.model: one.score for one in gateway.ratings.values()}
        assert scores == {first: 5, task.answers[1].setup.model: 2}
        about = next(iter(gateway.ratings.values()))
    assert (about.rater_id, about.session_id, about.blind) == ("rater-anna", study_id, True)
    assert about.locale == said.locale


async def test_a_gateway_that_is_away_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.study.errands.LONGEST_WAIT_S", 0.0)
    monkeypatch.setattr("webui.study.errands.PASSING_S", 0.0)
    gateway = Gateway()
    async with page_store(tmp_path) as store:
        work = StudyWork(gateway, store.study_errands)
        study = await make_study(store, prompts=1, raters=1)
        gateway.failing = Failure(kind="gateway_down")
        async with work.running():
            while gateway.calls < 7:  # more often than what counts as a failure of the model
                await asyncio.sleep(0.01)
            gateway.failing = None
            while await store.study_errands.next_answer():
                work.wake()
                await asyncio.sleep(0.01)
            gateway.failing = Failure(kind="other")
            task = await take(store, study, "anna")
            await store.study_tasks.judge(task.id, "anna", "r", TaskJudgement(choice="tie"), 1.0)
            calls = gateway.calls
            work.wake()
            while gateway.calls < calls + 2:
                await asyncio.sleep(0.01)
            gateway.failing = None
            while await store.study_errands.next_judgement():
                work.wake()
                await asyncio.sleep(0.01)
    assert list(gateway.votes) == [task.id]


class BrokenModel(Gateway):
    """A stream that the client cannot take apart."""

    async def stream(
        self, request: ChatRequest, rest: Callable[[], Rest] | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        self.calls += 1
        yield StreamEvent(text=request.model)
        raise AttributeError("'int' object has no attribute 'get'")


async def test_a_model_whose_answers_break_the_client_is_not_asked_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui.study.errands.LONGEST_WAIT_S", 0.0)
    gateway = BrokenModel()
    async with page_store(tmp_path) as store, asyncio.timeout(PATIENCE_S):
        study = await make_study(store, prompts=1, raters=1)
        await done(store, StudyWork(gateway, store.study_errands))
        assert await store.study_tasks.take(study, "anna", "r") == "failed"
        answers = await store.studies.answers(study)
    assert gateway.calls == MOST_ATTEMPTS * len(answers)
    assert {turn.failure for turn in answers.values()} == {UNREADABLE}


async def test_files_are_whole_masked_and_no_formula(tmp_path: Path) -> None:
    async with page_store(tmp_path) as store:
        study_id = await make_study(store, prompts=1, raters=1, kind="score")
        await answer_all(store)
        task = await take(store, study_id, "anna")
        await store.study_tasks.judge(task.id, "anna", "=SUM(1)", TaskJudgement(scores=(4, 1)), 2.5)
        study, judged = await store.studies.find(study_id), await store.studies.judgements(study_id)
        assert study is not None
        answers = await store.studies.answers(study_id)
    rows = judgement_rows(study, judged, answers, lambda row: row | {"question": {"content": "[MASK]"}})
    (line,) = [json.loads(one) for one in file_text(rows, 2, "jsonl").splitlines()]
    assert (line["question"], line["seconds"] <= 2.5) == ("[MASK]", True)
    by_model = {one["model"]: one for one in line["answers"]}
    assert by_model[task.answers[0].setup.model]["score"] == 4
    head, row = csv.reader(io.StringIO(file_text(rows, 2, "csv").removeprefix("\ufeff")))
    cells = dict(zip(head, row, strict=True))
    assert cells["rater_id"] == "'=SUM(1)"
    assert {cells["answer_1_model"], cells["answer_2_model"]} == {"base", "dolly"}


async def test_the_doors_of_the_page(tmp_path: Path) -> None:
    async with page_store(tmp_path) as store, page_client(tmp_path, running=False) as client:
        nobody = await client.get("/study/api/studies")
        assert nobody.status_code == 401
        page = await client.get("/study", headers={"accept": "text/html"})
        assert "script-src 'self'" in page.headers["content-security-policy"]
        study = await make_study(store, prompts=1, raters=1)
        form = {"name": "평가", "kind": "vote", "models": ["a", "b"], "raters": "1"}
        bad = await client.post(
            "/study/api/studies",
            data=form,
            files={"file": ("q.csv", b"x\n1\n")},
            headers={"accept-language": "ko"},
        )
        assert (bad.status_code, "첫 줄에" in bad.json()["error"]["message"]) == (409, True)
        prompts = {"file": ("q.csv", "질문\n안녕?\n".encode())}
        without = {name: value for name, value in form.items() if name != "models"}
        korean = {"accept-language": "ko"}
        unticked = await client.post("/study/api/studies", data=without, files=prompts, headers=korean)
        assert unticked.status_code == 409
        assert "서로 다른 모델 둘" in unticked.json()["error"]["message"]
        waiting = (await client.post(f"/study/api/studies/{study}/next", json={})).json()
        assert waiting["nothing"] == "preparing"
        await answer_all(store)
        told = (await client.post(f"/study/api/studies/{study}/next", json={})).json()
        assert [one["model"] for one in told["task"]["answers"]] == [None, None]  # names stay here
        task = told["task"]["id"]
        unfit = await client.put(f"/study/api/tasks/{task}", json={"scores": [1, 2], "seconds": 1})
        assert unfit.status_code == 409
        after = await client.put(f"/study/api/tasks/{task}", json={"choice": "tie", "seconds": 1})
        assert after.json()["nothing"] == "done"
        last = (await client.get(f"/study/api/studies/{study}/last")).json()
        assert last["task"]["judgement"]["choice"] == "tie"
        other = {"cookie": f"kodolly-browser={'x' * 24}"}
        readers = {reader_of(page.text)}  # before its first cookie
        for cookie in ({}, other):
            readers.add(reader_of((await client.get("/study", headers=cookie)).text))
        assert (None in readers, len(readers)) == (True, 3)  # one's unsent judgement is not another's
        gone = await client.get(f"/study/api/studies/{study}/last", headers=other)
        assert gone.status_code == 404
        listed = (await client.get("/study/api/studies")).json()
        assert listed["studies"][0]["progress"] == {"mine": 1, "done": 1, "total": 1}
        report = (await client.get(f"/study/api/studies/{study}")).json()
        assert (report["ties"], report["unsent"]) == (1, 1)


async def test_what_takes_seconds_for_many_judgements_is_done_beside_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    for name in ("webui.study.desk.study_figures", "webui.study.files.csv_text"):
        monkeypatch.setattr(name, noting_thread(threads, resolve_name(name)))
    async with page_store(tmp_path) as store, page_client(tmp_path) as client:
        study = await make_study(store, prompts=1, raters=1)
        await client.get("/study", headers={"accept": "text/html"})
        for path in (f"/study/api/studies/{study}", f"/study/files/{study}.csv"):
            assert (await client.get(path)).status_code == 200
    assert len(threads) == 2
    assert threading.get_ident() not in threads


def noting_thread(threads: list[int], work: Callable[..., Any]) -> Callable[..., Any]:
    """The same work, which tells in which thread it is done."""

    def noted(*given: Any) -> Any:
        threads.append(threading.get_ident())
        return work(*given)

    return noted


def reader_of(html: str) -> str | None:
    """By what the page's script tells one reader of a tab from the next."""
    _, _, given = html.partition('id="given">')
    reader: str | None = json.loads(given.partition("</script>")[0])["reader"]
    return reader


async def test_who_does_not_administer_makes_no_study_and_gets_no_file(tmp_path: Path) -> None:
    async with page_store(tmp_path) as store, page_client(tmp_path, host="0.0.0.0") as client:
        study = await make_study(store, prompts=1, raters=1)
        await client.get("/study", headers={"accept": "text/html"})
        for path in (f"/study/api/studies/{study}", f"/study/files/{study}.csv"):
            assert (await client.get(path)).status_code == 403
        listed = (await client.get("/study/api/studies")).json()
        assert "models" not in listed
        assert "models" not in listed["studies"][0]
        closed = await client.post(f"/study/api/studies/{study}", json={"open": False})
        assert closed.status_code == 403


@pytest.mark.parametrize("turns", range(6))
async def test_errands_end_however_shortly_before_that_there_was_news(turns: int) -> None:
    """Before Python 3.12 `asyncio.wait_for` loses a cancellation that comes with what it waited for."""
    looked = asyncio.Event()

    async def due_tomorrow() -> datetime:
        looked.set()
        return datetime.now(UTC) + timedelta(days=1)

    async def no_errands(_: int) -> tuple[()]:
        return ()

    async def do(_: object) -> None:
        raise AssertionError("there is nothing to do")

    async with asyncio.timeout(PATIENCE_S):
        errander = Errander(no_errands, do, due_tomorrow, at_once=1)
        async with errander.running():
            await looked.wait()
            await asyncio.sleep(0)
            errander.wake()
            for _ in range(turns):
                await asyncio.sleep(0)
