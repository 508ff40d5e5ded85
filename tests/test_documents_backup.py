"""`kodolly documents backup` and `restore`: all documents of a machine, or nothing."""

import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from common.errors import UserError
from documents.search.store import open_store
from documents.service.backup import Contents, back_up, restore
from documents.service.opening import open_storage
from documents.service.places import Places
from documents.service.sqlite_catalogue import SqliteCatalogue


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """One file in a vector store, one that is lost, one store of the command line."""
    made = Places(tmp_path / "state" / "documents" / "service")
    made.root.parent.parent.mkdir()
    made.make()
    catalogue = SqliteCatalogue(made.catalogue)
    store = {"id": "vs_1", "owner": "k", "name": "휴가", "description": "", "metadata": "{}"}
    catalogue.insert("stores", store | {"shared_with": "[]", "created_at": 1, "last_active_at": 1})
    for name in ("file-1", "file-lost"):
        row = {"id": name, "owner": "k", "filename": "규정.md", "bytes": 3, "purpose": "assistants"}
        catalogue.insert("files", row | {"created_at": 1})
        attached = {
            "store": "vs_1",
            "file": name,
            "status": "completed",
            "error_code": "",
            "error_message": "",
        }
        more = {"attributes": "{}", "chunk_tokens": 533, "usage_bytes": 3, "created_at": 1}
        catalogue.insert("attached", attached | more)
    catalogue.close()
    made.file("file-1", "규정.md").write_text("휴가", encoding="utf-8")
    with open_store(made.root.parent / "handbook.db", create=True):
        pass
    return made


def test_what_was_backed_up_comes_back_and_is_indexed_anew(places: Places, tmp_path: Path) -> None:
    target = tmp_path / "documents.backup"
    assert back_up(places, target) == Contents(files=1, stores=1)
    assert target.stat().st_mode & 0o077 == 0
    with pytest.raises(UserError, match="there already"):
        back_up(places, target)
    with pytest.raises(UserError, match="There are documents"):
        restore(target, places)

    elsewhere = Places(tmp_path / "other" / "documents" / "service")
    for there, replace in ((elsewhere, False), (places, True)):
        assert restore(target, there, replace=replace) == Contents(files=1, stores=1)
        assert there.file("file-1", "규정.md").read_text(encoding="utf-8") == "휴가"
        catalogue = SqliteCatalogue(there.catalogue)
        rows = catalogue.rows("SELECT file, status FROM attached")
        catalogue.close()
        assert rows == [{"file": "file-1", "status": "in_progress"}]
        with open_store(there.root.parent / "handbook.db") as store:
            assert store.documents() == []


def test_a_restore_that_is_killed_between_its_renames_is_finished_by_whoever_comes_next(
    places: Places, tmp_path: Path
) -> None:
    target, state_dir = tmp_path / "documents.backup", places.root.parents[1]
    back_up(places, target)
    places.file("file-2", "나중.md").write_text("나중", encoding="utf-8")
    script = (
        "import os, pathlib, sys; from documents.service.backup import restore; "
        "from documents.service.places import Places; renamed = pathlib.Path.rename; "
        "pathlib.Path.rename = lambda one, to: (renamed(one, to), os.kill(os.getpid(), 9)); "
        "restore(pathlib.Path(sys.argv[1]), Places(pathlib.Path(sys.argv[2])), replace=True)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(target), str(places.root)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not places.root.exists()

    open_storage(state_dir, None).close()
    assert places.file("file-1", "규정.md").read_text(encoding="utf-8") == "휴가"
    assert not places.file("file-2", "나중.md").exists()
    assert [path.name for path in state_dir.iterdir()] == ["documents"]


@pytest.mark.parametrize("member", ["../x", "files/../../x", "evil.txt", "stores/a/b"])
def test_what_is_no_backup_changes_nothing(places: Places, tmp_path: Path, member: str) -> None:
    target = tmp_path / "bad.backup"
    with zipfile.ZipFile(target, "w") as archive:
        archive.write(places.catalogue, "catalogue.db")
        archive.writestr(member, "x")
    with pytest.raises(UserError, match="something else"):
        restore(target, places, replace=True)
    target.write_bytes(target.read_bytes()[:100])
    with pytest.raises(UserError, match="no whole backup"):
        restore(target, places, replace=True)
    assert places.file("file-1", "규정.md").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.backup", "state"]
