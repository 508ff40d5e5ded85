"""A finished directory goes to the hub when that is asked for, and a reason is told where it does not."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from common.errors import UserError
from finetune.models.hub import push, require_hub
from finetune.progress import silent
from tests.support.quiet_handler import answering

TOKEN = "hf_of_the_test"


class Hub(BaseHTTPRequestHandler):
    """The few routes of the hub that an upload asks, with small files in the commit itself."""

    asked: list[str]
    made: dict[str, Any]
    files: dict[str, bytes]

    def do_GET(self) -> None:
        self._answer({"name": "team", "type": "user"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/repos/create"):
            self.made.update(json.loads(body))
            self._answer({"url": "http://127.0.0.1/team/dolly"})
        elif "/preupload/" in self.path:
            wanted = [
                {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for each in json.loads(body)["files"]
            ]
            self._answer({"files": wanted})
        else:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self._answer({"commitUrl": "http://127.0.0.1/team/dolly/commit/1", "commitOid": "1"})

    def _answer(self, body: object) -> None:
        allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        sent = json.dumps(body if allowed else {"error": "Invalid username or password."}).encode()
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


@contextmanager
def _running(handler: type[Hub]) -> Iterator[str]:
    with answering(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as url:
        yield url


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    import huggingface_hub.constants

    class OneHub(Hub):
        made: dict[str, Any] = {}  # noqa: RUF012 - of this test's hub alone
        files: dict[str, bytes] = {}  # noqa: RUF012

    with _running(OneHub) as url:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield OneHub


def test_every_file_arrives_in_a_private_repository(hub: type[Hub], tmp_path: Path) -> None:
    (tmp_path / "kodolly.json").write_text("{}", encoding="utf-8")
    (tmp_path / "chat_template.jinja").write_text("{{ '안녕' }}", encoding="utf-8")
    require_hub("team/dolly")
    push(tmp_path, "team/dolly", silent)
    assert (hub.made["name"], hub.made["visibility"]) == ("dolly", "private")
    assert hub.files == {"kodolly.json": b"{}", "chat_template.jinja": "{{ '안녕' }}".encode()}


def test_what_could_not_be_sent_is_still_there_to_be_sent(
    hub: type[Hub], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UserError, match="could not be pushed to") as raised:
        push(tmp_path, "team/dolly", silent)
    assert f"hf upload team/dolly {tmp_path}" in str(raised.value.hint)


def test_nothing_goes_out_unless_it_is_asked_for(hub: type[Hub], tmp_path: Path) -> None:
    require_hub(None)
    push(tmp_path, None, silent)
    assert (hub.made, hub.files) == ({}, {})


@pytest.mark.parametrize(
    ("token", "said"), [("hf_wrong", "could not be pushed to"), ("", "does not know who asks")]
)
def test_a_hub_that_knows_nobody_is_told_before_the_work(
    hub: type[Hub], token: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(UserError, match=said) as raised:
        require_hub("team/dolly")
    assert "hf_wrong" not in str(raised.value)


def test_a_name_that_no_repository_has_is_refused() -> None:
    with pytest.raises(UserError, match="no name of a repository"):
        require_hub("my dolly")
