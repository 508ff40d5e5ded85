"""`kodolly models`: which gateway it asks, and what it says of names that a provider has, too."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from common.status import Status, StatusModel, StatusProvider
from kodolly.commands.models import command
from tests.support.quiet_handler import QuietHandler, answering

STATUS = Status(
    version="0",
    uptime_s=1,
    models=[StatusModel(id="gpt-4o", kind="worker", state="ready")],
    providers=[
        StatusProvider(name="openai", configured=True, key_env="K", models=["gpt-4o"], hidden=["gpt-4o"])
    ],
    controller_connected=True,
)


class Answer(QuietHandler):
    def do_GET(self) -> None:
        self.answer(json.dumps(STATUS.model_dump()).encode())


@contextmanager
def gateway() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Answer)
    with answering(server):
        yield server.server_port


def test_it_asks_the_gateway_of_the_settings_and_says_who_is_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with gateway() as port:
        Path("kodolly.yaml").write_text(f"gateway: {{port: {port}}}\n")
        by_settings = CliRunner().invoke(command, [])
        Path("kodolly.yaml").write_text("gateway: {port: 9}\n")
        by_flag = CliRunner().invoke(command, ["--gateway", f"http://127.0.0.1:{port}"])
    assert by_settings.exit_code == by_flag.exit_code == 0
    for said in (by_settings.output, by_flag.output):
        assert "gpt-4o stays in the house; openai's model is called openai/gpt-4o." in said
