"""The results page: the gateway's figures, the judgements behind each, and files of both."""

import csv
import io
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from fastapi import FastAPI

from kodolly.feedback_export import masked_row
from kodolly.training_rows import training_rows
from tests.support.judged_world import HOSTILE, answer, fill
from tests.support.stack_in_process import in_process
from webui.csv_text import csv_text
from webui.gateway_client import GatewayClient
from webui.pages.results.judgements import judgement_cards
from webui.pages.results.tables import results_html
from webui.results.downloads import MakeTrainingRows, add_downloads
from webui.results.figures import Query, read_figures
from webui.results.judged import shown as newest
from webui.settings import WebuiSettings

OLD, NEW = "dolly@ba9876543210", "dolly@0123456789ab"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with in_process(tmp_path_factory.mktemp("results")) as stack:
        fill(stack.gateway)
        yield stack.gateway


@pytest.fixture
async def client(gateway: str) -> AsyncIterator[GatewayClient]:
    made = GatewayClient(gateway)
    yield made
    await made.aclose()


@asynccontextmanager
async def files(
    client: GatewayClient, training: MakeTrainingRows | None, *, texts: bool = True
) -> AsyncIterator[httpx2.AsyncClient]:
    app = FastAPI()
    add_downloads(app, client, training, texts=texts)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://page") as made:
        yield made


@pytest.fixture
async def page(client: GatewayClient) -> AsyncIterator[httpx2.AsyncClient]:
    async with files(client, training_rows) as made:
        yield made


async def test_the_page_shows_what_the_gateway_reckons(client: GatewayClient) -> None:
    figures = await read_figures(client, Query())
    html = results_html(figures, Query(), "ko", training=True, texts=True, one_by_one="")
    assert (figures.votes, figures.raters) == (12, 3)
    for words in (
        "투표 12건 · 평가자 3명",
        "0123456789ab",
        "순위",
        "승률 표",
        "아직 모름",
        "말투",
        "dpo.jsonl",
    ):
        assert words in html
    assert "체크포인트별 변화: dolly" in html
    assert html.index("ba9876543210</code></th>") < html.rindex(
        "0123456789ab</code></th>"
    )  # first judged first
    assert "dpo.jsonl" not in results_html(figures, Query(), "en", training=False, texts=True, one_by_one="")


async def test_filters_stand_in_the_address_and_reach_every_number(client: GatewayClient) -> None:
    query = Query.of({"blind": "1", "category": "요약", "since": "gestern", "until": "9999-12-31", "x": "y"})
    assert (query.since, query.address()) == (
        None,
        "./results?blind=1&until=9999-12-31&category=%EC%9A%94%EC%95%BD",
    )
    figures = await read_figures(client, query)
    assert figures.votes == 5  # of the six with a summary one was not blind
    assert set(figures.categories) == {"요약", "질의"}
    html = results_html(figures, query, "ko", training=False, texts=True, one_by_one="")
    assert f"model=dolly%40{NEW[6:]}" in html
    assert 'value="요약" selected' in html
    assert "results/files/votes.csv?blind=1&amp;" in html
    one_study = results_html(figures, Query(study="s<"), "ko", training=False, texts=True, one_by_one="")
    assert '<input type="checkbox" name="study" value="s&lt;" checked> 이 평가만' in one_study


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({"model": NEW}, 6),
        ({"model": NEW, "rival": "base"}, 6),
        ({"model": NEW, "rival": OLD}, 0),
        ({"model": NEW, "blind": "1"}, 5),
        ({"model": OLD, "what": "ratings"}, 6),
    ],
)
async def test_behind_each_number_stand_the_answers_with_nothing_hostile_alive(
    client: GatewayClient, asked: dict[str, str], count: int
) -> None:
    query = Query.of(asked)
    rows = await newest(client, query)
    html = judgement_cards(rows, query, "ko")
    assert html.count("<article") == count == len(rows)
    assert HOSTILE not in html
    assert ("좋은 답" in html) is bool(count)


async def test_files_hold_what_the_filters_let_through(page: httpx2.AsyncClient) -> None:
    told = await page.get("/results/files/votes.csv", params={"category": "요약"})
    rows = list(csv.DictReader(io.StringIO(told.content.decode("utf-8-sig"))))
    assert len(rows) == 6
    assert {row["left_checkpoint"] for row in rows} == {NEW[6:]}
    assert "attachment" in told.headers["content-disposition"]
    board = (await page.get("/results/files/leaderboard.csv")).content.decode("utf-8-sig")
    assert board.splitlines()[1].startswith(NEW)
    assert "base" in (await page.get("/results/files/pairs.csv")).text
    lines = (await page.get("/results/files/ratings.jsonl")).text.splitlines()
    assert sum(json.loads(line)["score"] == 2 for line in lines) == 6


async def test_feedback_becomes_rows_of_three_kinds_of_training(page: httpx2.AsyncClient) -> None:
    made = {}
    for method in ("dpo", "kto", "sft"):
        told = await page.get(f"/results/files/{method}.jsonl", params={"blind": "1"})
        made[method] = [json.loads(line) for line in told.text.splitlines()]
    assert {"chosen", "rejected", "instruction"} <= set(made["dpo"][0])
    assert {row["meta"]["label"] for row in made["kto"]} == {True, False}
    assert all(row["response"].startswith("좋은 답") for row in made["sft"])


async def test_what_is_not_there_and_a_gateway_that_is_away_are_told(page: httpx2.AsyncClient) -> None:
    assert (await page.get("/results/files/orpo.jsonl")).status_code == 404
    nobody = GatewayClient("http://127.0.0.1:9")
    async with files(nobody, None) as away:
        assert (await away.get("/results/files/votes.csv")).status_code == 502
        assert (await away.get("/results/files/dpo.jsonl")).status_code == 404  # nobody who makes them
    await nobody.aclose()


async def test_personal_data_is_masked_in_files(gateway: str) -> None:
    def put(kind: str, body: dict[str, object]) -> None:
        url = f"{gateway}/v1/feedback/{kind}/{uuid.uuid4()}"
        httpx2.put(url, json=body, trust_env=False).raise_for_status()

    given = answer("masked", "010-1234-5678로 전화하세요.")
    put("ratings", {"score": 3, "comment": "minji@naver.com으로 알려 주세요", "answer": given})
    client = GatewayClient(gateway)
    app = FastAPI()
    add_downloads(app, client, None, masked_row, texts=True)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://page") as page:
        for form in ("csv", "jsonl"):
            text = (await page.get(f"/results/files/ratings.{form}", params={"model": "masked"})).text
            assert "010-1234" not in text, form
            assert "naver.com" not in text, form
            assert "[전화번호]" in text, form
    await client.aclose()


def test_no_cell_of_a_file_is_a_formula() -> None:
    assert csv_text([["=1+1", "@a", "-2", 3, "글"]], begins=False) == "'=1+1,'@a,'-2,3,글\r\n"
    assert csv_text([["＝1+1", "＋1", "\0=1"]], begins=False) == "'＝1+1,'＋1,'\0=1\r\n"


async def test_where_anybody_reaches_the_page_nobodys_words_are_shown(client: GatewayClient) -> None:
    async with files(client, training_rows, texts=False) as page:
        for name in ("votes.csv", "ratings.csv", "votes.jsonl", "ratings.jsonl", "dpo.jsonl", "sft.jsonl"):
            answer = await page.get(f"/results/files/{name}")
            assert (answer.status_code, "webui.show_feedback" in answer.text) == (403, True), name
        assert (await page.get("/results/files/leaderboard.csv")).status_code == 200
    figures = await read_figures(client, Query())
    html = results_html(figures, Query(), "ko", training=True, texts=False, one_by_one="")
    assert "votes.jsonl" not in html
    assert "dpo.jsonl" not in html
    assert "pairs.csv" in html


@pytest.mark.parametrize(
    ("host", "chosen", "shown"),
    [("127.0.0.1", None, True), ("0.0.0.0", None, False), ("0.0.0.0", True, True), ("::1", False, False)],
)
def test_feedback_is_shown_on_this_machine_alone_unless_chosen(
    host: str, chosen: bool | None, shown: bool
) -> None:
    assert WebuiSettings(host=host, show_feedback=chosen).shows_feedback is shown
