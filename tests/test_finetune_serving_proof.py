"""vLLM's renderer finds a place for its socket wherever temporary files are."""

import socket
import tempfile
from pathlib import Path

import pytest

from finetune.merge.serving_proof import SOCKET, socket_folder


def test_a_socket_is_bound_however_deep_temporary_files_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("가" * 40)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with socket_folder() as folder, socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(folder / SOCKET))
        assert (folder / SOCKET).is_socket()
    assert not folder.exists()


def test_elsewhere_it_is_where_temporary_files_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        with socket_folder() as folder:
            assert folder.parent == Path(short)
