"""Files and vector stores, through the gateway, by the official client."""

import asyncio
import io
import zipfile
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import httpx2
import openai
import pytest

from tests.support.conformance.wire import request, talk
from tests.support.documents_stack import KEYS, DocumentsStack, documents_stack
from tests.support.paper_files import Paper, write_pdf
from tests.support.processes import PATIENCE_S, wait_for
from webui.documents.stores import NotAllowed, StoreReader
from webui.gateway_client import GatewayClient

pytestmark = pytest.mark.slow
LEAVE = "# 휴가\n\n연차휴가는 1년에 15일이다. 승인을 받는다.\n\n# 경조\n\n경조금은 한 달 안에 청구한다.\n"
TRAVEL = "# 출장\n\n출장비는 돌아온 날부터 5일 안에 정산한다.\n"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocumentsStack]:
    with documents_stack(tmp_path_factory.mktemp("documents")) as made, made.documents():
        yield made


@pytest.fixture
def client(stack: DocumentsStack) -> openai.OpenAI:
    return stack.client()


def uploaded(client: openai.OpenAI, name: str, text: str | bytes) -> str:
    content = text.encode() if isinstance(text, str) else text
    return client.files.create(file=(name, content), purpose="assistants").id


def test_files_are_kept_listed_and_deleted(client: openai.OpenAI) -> None:
    made = client.files.create(file=("../규정 1.md", LEAVE.encode()), purpose="assistants")
    assert (made.object, made.filename, made.bytes, made.status) == (
        "file",
        "규정 1.md",
        len(LEAVE.encode()),
        "processed",
    )
    assert made.id.startswith("file-")
    again = client.files.create(
        file=("b.txt", b"b"), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert again.expires_at == again.created_at + 3600
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).read() == LEAVE.encode()
    ids = [file.id for file in client.files.list(limit=1)]  # a page each
    assert ids[:2] == [again.id, made.id]
    assert [file.id for file in client.files.list(purpose="user_data")] == [again.id]
    assert client.files.delete(again.id).deleted
    with pytest.raises(openai.NotFoundError, match=again.id):
        client.files.retrieve(again.id)
    client.files.delete(made.id)


def test_a_store_is_searched_by_words_and_attributes(client: openai.OpenAI) -> None:
    leave, travel = uploaded(client, "휴가.md", LEAVE), uploaded(client, "출장.md", TRAVEL)
    store = client.vector_stores.create(name="규정집", metadata={"팀": "인사"})
    assert store.id.startswith("vs_")
    told: dict[str, dict[str, str | float | bool]] = {
        leave: {"year": 2024, "team": "인사"},
        travel: {"year": 2026},
    }
    for file, attributes in told.items():
        done = client.vector_stores.files.create_and_poll(
            file, vector_store_id=store.id, attributes=attributes, poll_interval_ms=50
        )
        assert (done.status, done.last_error, done.attributes) == ("completed", None, attributes)
    now = client.vector_stores.retrieve(store.id)
    assert (now.status, now.file_counts.completed, now.file_counts.total) == ("completed", 2, 2)
    assert now.usage_bytes > 0

    def found(query: str | list[str], **more: object) -> list[str]:
        return [
            hit.filename
            for hit in client.vector_stores.search(store.id, query=query, **more)  # type: ignore[arg-type]
        ]

    (best, *_) = client.vector_stores.search(store.id, query="연차휴가는 며칠인가요?").data
    assert (best.filename, best.file_id, best.attributes) == (
        "휴가.md",
        leave,
        {"year": 2024, "team": "인사"},
    )
    assert 0 < best.score <= 1
    assert "15일" in best.content[0].text
    assert found("출장비 정산", max_num_results=1) == ["출장.md"]
    assert set(found(["출장비 정산", "경조금 청구"])) == {"출장.md", "휴가.md"}
    assert found("고양이") == []
    assert found("연차휴가", ranking_options={"score_threshold": 1.0}) in ([], ["휴가.md"])

    everything = "연차휴가 출장비"
    for filters, files in (
        ({"type": "eq", "key": "year", "value": 2024}, {"휴가.md"}),
        ({"type": "ne", "key": "team", "value": "인사"}, {"출장.md"}),
        ({"type": "gte", "key": "year", "value": 2025}, {"출장.md"}),
        ({"type": "lt", "key": "year", "value": 2025}, {"휴가.md"}),
        ({"type": "in", "key": "year", "value": [2024, 2026]}, {"휴가.md", "출장.md"}),
        ({"type": "nin", "key": "year", "value": [2024]}, {"출장.md"}),
        ({"type": "gt", "key": "team", "value": 1}, set()),
        (
            {
                "type": "or",
                "filters": [
                    {"type": "eq", "key": "team", "value": "인사"},
                    {"type": "and", "filters": [{"type": "gt", "key": "year", "value": 2025}]},
                ],
            },
            {"휴가.md", "출장.md"},
        ),
    ):
        assert set(found(everything, filters=filters)) == files, filters
    client.vector_stores.files.update(leave, vector_store_id=store.id, attributes={"year": 2030})
    assert set(found(everything, filters={"type": "gt", "key": "year", "value": 2029})) == {"휴가.md"}

    text = client.vector_stores.files.content(leave, vector_store_id=store.id).data[0].text or ""
    assert "경조금" in text
    client.vector_stores.files.delete(leave, vector_store_id=store.id)
    assert found("연차휴가") == []
    client.files.delete(travel)  # also takes it out of the store
    assert found("출장비") == []
    assert client.vector_stores.retrieve(store.id).file_counts.total == 0
    assert client.vector_stores.delete(store.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.search(store.id, query="출장비")


def test_batches_are_followed_to_their_end(client: openai.OpenAI) -> None:
    store = client.vector_stores.create(name="batch", expires_after={"anchor": "last_active_at", "days": 7})
    assert store.expires_at == (store.last_active_at or 0) + 7 * 86400
    batch = client.vector_stores.file_batches.upload_and_poll(
        store.id, files=[("a.md", LEAVE.encode()), ("b.md", TRAVEL.encode())], poll_interval_ms=50
    )
    assert (batch.status, batch.file_counts.completed) == ("completed", 2)
    assert len(list(client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id))) == 2
    assert list(client.vector_stores.files.list(store.id, filter="failed")) == []
    ids = [file.id for file in client.vector_stores.files.list(store.id, order="asc")]
    page = client.vector_stores.files.list(store.id, order="asc", before=ids[1])
    assert [file.id for file in page.data] == [ids[0]]
    one = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("c.txt", "다".encode()), poll_interval_ms=50
    )
    assert one.status == "completed"
    changed = client.vector_stores.update(store.id, name="새 이름", expires_after=None)
    assert (changed.name, changed.expires_at) == ("새 이름", None)


def test_what_cannot_be_read_fails_with_one_line(client: openai.OpenAI, tmp_path: Path) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("word/document.xml", b"\0" * 200_000_000)
    empty = write_pdf(tmp_path / "scan.pdf", [Paper()]).read_bytes()
    store = client.vector_stores.create()
    for name, content, code, reason in (
        ("a.pdf", b"no pdf at all", "invalid_file", "a.pdf cannot be read: it is no PDF file"),
        ("bomb.docx", bomb.getvalue(), "invalid_file", "bomb.docx cannot be read"),
        ("scan.pdf", empty, "invalid_file", "scan.pdf cannot be read"),
        ("secret.docx", bytes.fromhex("d0cf11e0a1b11ae1") * 100, "invalid_file", "password"),
        ("photo.png", b"\x89PNG\r\n\x1a\n", "unsupported_file", "whose text takes OCR"),
        ("sound.mp3", b"ID3", "unsupported_file", "'.mp3'"),
    ):
        failed = client.vector_stores.files.create_and_poll(
            uploaded(client, name, content), vector_store_id=store.id, poll_interval_ms=50
        )
        assert failed.status == "failed", name
        assert failed.last_error is not None
        assert failed.last_error.code == code, failed.last_error
        assert reason in failed.last_error.message
        assert "\n" not in failed.last_error.message
        assert "state" not in failed.last_error.message  # nor where it is kept
    counts = client.vector_stores.retrieve(store.id).file_counts
    assert (counts.failed, counts.total) == (6, 6)
    assert client.vector_stores.search(store.id, query="휴가").data == []


def test_bad_requests_are_told_in_openais_shape(stack: DocumentsStack, client: openai.OpenAI) -> None:
    store = client.vector_stores.create().id
    with pytest.raises(openai.NotFoundError, match="file-none"):
        client.vector_stores.files.create(store, file_id="file-none")
    with pytest.raises(openai.BadRequestError) as refused:
        client.vector_stores.search(store, query="")
    assert refused.value.param == "query"
    with pytest.raises(openai.BadRequestError, match="max_num_results"):
        client.vector_stores.search(store, query="a", max_num_results=51)
    for wrong, told in (
        ({"type": "in", "key": "a", "value": "b"}, "filters: Value error, in takes a list"),
        ({"type": "and", "filters": [{"type": "eq", "key": "a"}]}, "filters.filters.0.value: Field required"),
    ):
        with pytest.raises(openai.BadRequestError, match=told):
            client.vector_stores.search(store, query="a", filters=wrong)  # type: ignore[arg-type]
    with pytest.raises(openai.BadRequestError, match="filters"):
        client.vector_stores.search(store, query="a", filters={"type": "like", "key": "a", "value": "b"})  # type: ignore[arg-type]
    with pytest.raises(openai.BadRequestError, match="either file_ids or files"):
        client.post(f"/vector_stores/{store}/file_batches", body={}, cast_to=object)
    with pytest.raises(openai.BadRequestError, match="empty"):
        uploaded(client, "a.txt", b"")
    with pytest.raises(openai.BadRequestError, match="purpose"):
        client.files.create(file=("a.txt", b"a"), purpose="spam")  # type: ignore[arg-type]
    with pytest.raises(openai.BadRequestError, match="vs_none"):
        list(client.vector_stores.list(after="vs_none"))
    lines = [f"Content-Length: {2 * 2**30}", "Content-Type: multipart/form-data; boundary=x"]
    (answer,) = talk(
        stack.gateway, request(stack.gateway, "POST", "/v1/files", [*lines, "Authorization: Bearer sk-first"])
    )
    assert answer.status == 413  # of a file of 2 GB no byte is waited for


def test_each_key_has_its_own_and_stores_can_be_shared(stack: DocumentsStack, client: openai.OpenAI) -> None:
    other = stack.client(1)
    file = uploaded(client, "휴가.md", LEAVE)
    store = client.vector_stores.create(name="우리 것", file_ids=[file]).id
    wait_for(lambda: client.vector_stores.retrieve(store).status == "completed", PATIENCE_S, what="the index")
    assert store not in [one.id for one in other.vector_stores.list()]
    for refused in (
        lambda: other.files.retrieve(file),
        lambda: other.files.content(file),
        lambda: other.files.delete(file),
        lambda: other.vector_stores.search(store, query="연차"),
        lambda: other.vector_stores.files.create(other.vector_stores.create().id, file_id=file),
        # The owner is who the gateway says; a header of the client is no word of it.
        lambda: other.files.retrieve(
            file, extra_headers={"x-kodolly-owner": "env-1", "x-kodolly-sees-all": "1"}
        ),
    ):
        with pytest.raises(openai.NotFoundError):
            refused()
    client.vector_stores.update(store, extra_body={"shared_with": ["env-2"]})
    assert other.vector_stores.search(store, query="연차").data[0].filename == "휴가.md"
    assert store in [one.id for one in other.vector_stores.list()]
    with pytest.raises(openai.NotFoundError):
        other.vector_stores.delete(store)
    with pytest.raises(openai.NotFoundError):
        other.vector_stores.update(store, name="x")


def test_nobody_but_the_gateway_is_answered(stack: DocumentsStack) -> None:
    """Whoever reaches the service could else claim to be anybody."""
    for headers in ({}, {"authorization": "Bearer sk-first"}):
        answer = httpx2.get(
            f"{stack.service}/v1/files", headers=headers | {"x-kodolly-owner": "env-1"}, trust_env=False
        )
        assert answer.status_code == 401
    for directory in (stack.state / "documents", stack.state / "documents" / "service"):
        assert directory.stat().st_mode & 0o077 == 0
    for path in (stack.state / "documents" / "service").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_indexing_goes_on_after_a_restart(tmp_path: Path) -> None:
    """What was to be done stands in the catalogue; the gateway says so meanwhile."""
    import sqlite3

    with documents_stack(tmp_path) as stack:
        client = stack.client()
        with pytest.raises(openai.InternalServerError, match="cannot be reached"):
            client.files.list()
        with stack.documents():
            store = client.vector_stores.create(file_ids=[uploaded(client, "휴가.md", LEAVE)]).id
            wait_for(
                lambda: client.vector_stores.retrieve(store).status == "completed",
                PATIENCE_S,
                what="the index",
            )
        service = stack.state / "documents" / "service"
        (service / "stores" / f"{store}.db").unlink()
        (service / "files" / "file-left.part").write_bytes(b"half")
        with sqlite3.connect(service / "catalogue.db") as catalogue:  # as a killed process leaves it
            catalogue.execute("UPDATE attached SET status = 'in_progress'")
        with stack.documents():
            wait_for(
                lambda: client.vector_stores.retrieve(store).status == "completed",
                PATIENCE_S,
                what="the index after the restart",
            )
            assert client.vector_stores.search(store, query="연차").data[0].filename == "휴가.md"
            wait_for(
                lambda: not (service / "files" / "file-left.part").exists(), PATIENCE_S, what="the tidying"
            )


def test_users_with_keys_of_their_own_share_a_collection_of_the_page(stack: DocumentsStack) -> None:
    async def run() -> None:
        one, other = (GatewayClient(stack.gateway, key) for key in KEYS)
        async with aclosing(one), aclosing(other):
            mine, theirs = StoreReader(one, "a" * 64, keyed=True), StoreReader(other, "b" * 64, keyed=True)
            made = (await mine.make("편람"))["id"]
            paper = await mine.upload(made, "휴가.md", LEAVE.encode())
            assert made not in {store["id"] for store in await theirs.stores()}
            await mine.change(made, None, True)
            assert (made, False) in {(store["id"], store["mine"]) for store in await theirs.stores()}
            async with asyncio.timeout(PATIENCE_S):
                while (file := (await theirs.files(made))[0])["status"] != "completed":
                    await asyncio.sleep(0.05)
            assert (file["id"], file["name"]) == (paper, "휴가.md")
            assert "15일" in "".join(page.text for page in await theirs.pages(made, paper))
            with pytest.raises(NotAllowed):
                await theirs.upload(made, "내 것.md", b"x")
            await mine.change(made, None, False)
            assert made not in {store["id"] for store in await theirs.stores()}
            await mine.delete(made)

    asyncio.run(run())
