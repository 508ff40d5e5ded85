"""How `kodolly up` treats the ends of its parts, and its control socket."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from common.errors import UserError
from kodolly.clients.control import (
    SOCKET,
    Addresses,
    ControlRequest,
    CountRestarts,
    Removed,
    RemoveWorker,
    Restarts,
    Where,
    ask_up,
    open_control,
)
from kodolly.stack.parts import Ports, UpSettings, WorkerSpec, build_parts
from kodolly.stack.supervise import Part, SupervisedPart
from tests.support.processes import PATIENCE_S


def part(code: int, *, may_end: bool) -> Part:
    return Part("worker-x", [sys.executable, "-c", f"raise SystemExit({code})"], {}, may_end=may_end)


async def lines_of(child_part: Part, tmp_path: Path) -> str:
    """What is said until the part has stayed stopped, or is about to be started again."""
    said: list[str] = []
    decided = asyncio.Event()

    def say(_part: str, line: str) -> None:
        said.append(line)
        decided.set()

    child = SupervisedPart(child_part, say, tmp_path)
    running = asyncio.create_task(child.run())
    async with asyncio.timeout(PATIENCE_S):
        await decided.wait()
    await child.stop()
    await running
    return said[0]


async def test_a_worker_that_was_asked_to_stop_is_not_started_again(tmp_path: Path) -> None:
    assert "it stays stopped" in await lines_of(part(0, may_end=True), tmp_path)


@pytest.mark.parametrize(("code", "may_end"), [(0, False), (1, True)])
async def test_any_other_end_is_a_failure(tmp_path: Path, code: int, may_end: bool) -> None:
    assert "starting it again in 1 s" in await lines_of(part(code, may_end=may_end), tmp_path)


async def test_the_control_socket_is_private_and_answers(tmp_path: Path) -> None:
    deep = tmp_path / ("긴이름" * 20) / ("d" * 100)  # longer than a socket's address may be

    async def handle(request: ControlRequest) -> BaseModel:
        if isinstance(request, RemoveWorker):
            raise UserError("그런 작업자는 없습니다.")
        assert isinstance(request, CountRestarts)
        return Removed(part=request.part)

    assert ask_up(deep, Where(), Addresses) is None
    async with open_control(deep, handle):
        assert (deep / SOCKET).stat().st_mode & 0o777 == 0o600
        asked = CountRestarts(part="한글")
        assert await asyncio.to_thread(ask_up, deep, asked, Removed) == Removed(part="한글")
        with pytest.raises(UserError, match="그런 작업자는 없습니다"):
            await asyncio.to_thread(ask_up, deep, RemoveWorker(part="w"), Removed)
        with pytest.raises(UserError, match="does not answer"):  # with what belongs to the request
            await asyncio.to_thread(ask_up, deep, asked, Restarts)
        unknown: dict[str, Any] = {"do": "fly"}
        incomplete: dict[str, Any] = {"do": "remove"}
        for odd in (Where.model_construct(**unknown), RemoveWorker.model_construct(**incomplete)):
            with pytest.raises(UserError, match="not a request"):
                await asyncio.to_thread(ask_up, deep, odd, Removed)
    assert ask_up(deep, Where(), Addresses) is None


async def test_a_socket_that_a_killed_up_left_behind_is_replaced(tmp_path: Path) -> None:
    there = Addresses(controller="http://127.0.0.1:1", gateway="http://127.0.0.1:2")

    async def handle(_request: ControlRequest) -> BaseModel:
        return there

    (tmp_path / SOCKET).touch()
    async with open_control(tmp_path, handle):
        assert await asyncio.to_thread(ask_up, tmp_path, Where(), Addresses) == there


def test_workers_of_one_machine_have_an_address_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KODOLLY_WORKER_ADVERTISE_URL", "http://[fd00::7]:21002")
    specs = tuple(WorkerSpec(model=tmp_path / name) for name in ("a", "b"))
    ports = Ports(controller=1, gateway=2, webui=3, first_worker=21002)
    parts = build_parts(UpSettings(workers=specs, state_dir=tmp_path), ports, None)
    first, second = (part.argv for part in parts if part.name.startswith("worker-"))
    assert "--advertise-url" not in first  # the setting holds
    assert second[second.index("--advertise-url") + 1] == "http://[fd00::7]:21003"
