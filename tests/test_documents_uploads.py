"""/v1/uploads: a file that comes in parts, by the official client's calls."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from starlette.testclient import TestClient

from common.documents_service import OWNER_HEADER
from documents.service.app import create_app
from documents.service.service import Service
from documents.service.settings import DocumentsSettings

TOKEN = "documents-token"
TEXT = "# 휴가\n\n연차휴가는 1년에 15일이다. 부서장의 승인을 받는다.\n".encode()
PURPOSE = {"filename": "../규정.md", "purpose": "assistants", "mime_type": "text/markdown"}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[TestClient]:
    settings: dict[str, Any] = {"token": TOKEN, "state_dir": tmp_path / "state"}
    app = create_app(DocumentsSettings(**settings, max_file_bytes=1000, quota_bytes=1500))
    headers = {"authorization": f"Bearer {TOKEN}", OWNER_HEADER: "key-1"}
    with TestClient(app, headers=headers) as client:
        yield client


@pytest.fixture
def client(service: TestClient) -> openai.OpenAI:
    """The official client, which asks the service directly."""
    headers = {OWNER_HEADER: "key-1"}
    return openai.OpenAI(
        base_url="http://testserver/v1",
        api_key=TOKEN,
        max_retries=0,
        http_client=service,
        default_headers=headers,
    )


def begun(service: TestClient, size: int = len(TEXT), **fields: Any) -> str:
    answer = service.post("/v1/uploads", json=PURPOSE | {"bytes": size} | fields)
    return str(answer.raise_for_status().json()["id"])


def part(service: TestClient, upload: str, content: bytes) -> str:
    answer = service.post(f"/v1/uploads/{upload}/parts", files={"data": ("part", content)})
    return str(answer.raise_for_status().json()["id"])


def completed(service: TestClient, upload: str, *parts: str, **fields: Any) -> Any:
    return service.post(f"/v1/uploads/{upload}/complete", json={"part_ids": parts} | fields)


def kept(service: TestClient) -> list[str]:
    """The beginnings of the names on disk."""
    found: Service = service.app.state.service  # type: ignore[attr-defined]
    files = Path(found.settings.state_dir) / "documents" / "service" / "files"
    return sorted(path.name.partition("-")[0].partition("_")[0] for path in files.iterdir())


def test_parts_become_a_file_in_the_order_that_is_named(service: TestClient) -> None:
    upload = begun(service, expires_after={"anchor": "created_at", "seconds": 7200})
    last, first = part(service, upload, TEXT[40:]), part(service, upload, TEXT[:40])
    assert kept(service) == ["part", "part"]
    digest = hashlib.md5(TEXT, usedforsecurity=False).hexdigest()
    done = completed(service, upload, first, last, md5=digest).raise_for_status().json()
    assert (done["status"], done["file"]["filename"], done["file"]["bytes"]) == (
        "completed",
        "규정.md",
        len(TEXT),
    )
    assert done["file"]["expires_at"] == done["file"]["created_at"] + 7200
    assert service.get(f"/v1/files/{done['file']['id']}/content").content == TEXT
    assert kept(service) == ["file"]
    again = completed(service, upload, first, last)
    assert (again.status_code, again.json()["error"]["message"]) == (400, "The upload is completed.")


def test_the_official_client_cuts_a_file_itself(client: openai.OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "규정.md"
    path.write_bytes(TEXT)
    made = client.uploads.upload_file_chunked(
        file=path, mime_type="text/markdown", purpose="assistants", part_size=30
    )
    assert made.file is not None
    assert client.files.content(made.file.id).content == TEXT


def test_what_does_not_fit_together_is_refused(service: TestClient) -> None:
    upload = begun(service)
    first, second = part(service, upload, TEXT[:40]), part(service, upload, TEXT[40:])
    more = service.post(f"/v1/uploads/{upload}/parts", files={"data": ("part", b"x")})
    assert (more.status_code, more.json()["error"]["param"]) == (400, "data")
    for parts in ((first,), (first, first, second), (first, second, "part_none")):
        refused = completed(service, upload, *parts)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "part_ids")
    wrong = completed(service, upload, second, first, md5=hashlib.md5(b"x").hexdigest())
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "md5")
    assert service.get("/v1/files").json()["data"] == []
    assert completed(service, upload, first, second).status_code == 200


def test_a_file_that_is_too_large_is_refused_before_its_first_part(service: TestClient) -> None:
    answer = service.post("/v1/uploads", json=PURPOSE | {"bytes": 1001})
    assert answer.status_code == 413
    assert "1,000 bytes" in answer.json()["error"]["message"]
    assert "documents.max_file_bytes" in answer.json()["error"]["message"]
    whole = service.post("/v1/files", files={"file": ("a.md", b"x" * 1001)}, data={"purpose": "assistants"})
    assert whole.status_code == 413
    begun(service, 900)
    full = service.post("/v1/uploads", json=PURPOSE | {"bytes": 700})
    assert (full.status_code, full.json()["error"]["code"]) == (400, "storage_quota_exceeded")


def test_a_cancelled_upload_leaves_nothing(service: TestClient) -> None:
    upload = begun(service, 900)
    part(service, upload, b"x" * 400)
    assert service.post(f"/v1/uploads/{upload}/cancel").json()["status"] == "cancelled"
    assert kept(service) == []
    late = service.post(f"/v1/uploads/{upload}/parts", files={"data": ("part", b"x")})
    assert (late.status_code, late.json()["error"]["message"]) == (400, "The upload is cancelled.")
    begun(service, 900)  # its room is free again


def test_an_upload_is_its_key_s_alone(service: TestClient) -> None:
    upload = begun(service)
    other = {OWNER_HEADER: "key-2"}
    answer = service.post(f"/v1/uploads/{upload}/parts", files={"data": ("p", b"x")}, headers=other)
    assert answer.status_code == 404
    assert service.post(f"/v1/uploads/{upload}/cancel", headers=other).status_code == 404


def test_what_was_never_completed_is_tidied_away(service: TestClient) -> None:
    upload = begun(service)
    part(service, upload, TEXT[:40])
    found: Service = service.app.state.service  # type: ignore[attr-defined]
    found.catalogue.change("UPDATE uploads SET expires_at = 1")
    found.indexer._tidy()
    assert kept(service) == []
    assert found.catalogue.rows("SELECT id FROM uploads UNION ALL SELECT id FROM parts") == []
