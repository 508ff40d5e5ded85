"""`kodolly documents`: files into a store, out of it, and found again."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kodolly import document_store
from kodolly.cli import root


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KODOLLY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "state"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(root, ["documents", *arguments])


def test_files_are_added_searched_shown_and_removed(tmp_path: Path, state: Path) -> None:
    folder = tmp_path / "규정집"
    (folder / ".hidden").mkdir(parents=True)
    for name, text in (
        ("휴가.md", "# 휴가\n\n연차휴가는 15일이다.\n"),
        ("경조.txt", "경조금은 청구한다."),
        (".hidden/a.txt", "숨은 파일"),
        ("그림.png", "x"),
    ):
        (folder / name).write_text(text, encoding="utf-8")
    added = run("add", str(folder), "--store", "handbook")
    assert added.exit_code == 0, added.output
    assert [line.split()[0] for line in added.stdout.splitlines()] == ["added", "added"]
    assert (state / "documents" / "handbook.db").stat().st_mode & 0o077 == 0

    (folder / "경조.txt").write_text("경조금은 한 달 안에 청구한다.", encoding="utf-8")
    again = run("add", str(folder), "--store", "handbook")
    assert [line.split()[0] for line in again.stdout.splitlines()] == ["replaced", "unchanged"]

    found = run("search", "연차는 며칠인가요?", "--store", "handbook")
    assert found.stdout.startswith("[1] 휴가.md (")
    assert "연차휴가는 15일이다." in found.stdout
    (hit,) = json.loads(run("search", "경조금", "--store", "handbook", "--json").stdout)
    assert hit["text"] == "경조금은 한 달 안에 청구한다."

    listed = json.loads(run("list", "--store", "handbook", "--json").stdout)
    assert [one["name"] for one in listed] == ["경조.txt", "휴가.md"]
    assert "휴가.md" in run("list", "--store", "handbook").stdout
    assert run("show", "휴가.md", "--store", "handbook").stdout == "휴가\n\n연차휴가는 15일이다.\n"

    assert run("remove", "휴가.md", "--store", "handbook").exit_code == 0
    nothing = run("search", "연차", "--store", "handbook")
    assert (nothing.exit_code, nothing.stdout) == (1, "")
    assert run("rebuild", "--store", "handbook").stdout == "1 passages indexed.\n"


def test_a_file_that_cannot_be_read_does_not_keep_the_others_out(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_text("no pdf")
    (tmp_path / "b.txt").write_text("휴가는 15일이다.", encoding="utf-8")
    done = run("add", "a.pdf", "b.txt")
    assert done.exit_code == 1
    assert "a.pdf cannot be read: it is no PDF file." in done.stderr
    assert done.stdout.startswith("added")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "휴가", "--store", "none"], "There is no store 'none'."),
        (["list", "--store", "../x"], "'../x' cannot be the name of a store."),
    ],
)
def test_what_is_not_there_is_named(arguments: list[str], message: str) -> None:
    assert message in str(run(*arguments).exception)


def test_two_documents_of_one_name_are_told_apart_by_path(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.txt").write_text(f"{folder} 휴가", encoding="utf-8")
    assert run("add", "a", "b").exit_code == 0
    assert "2 documents are called x.txt." in str(run("show", "x.txt").exception)
    assert run("show", "b/x.txt").stdout == "b 휴가\n"
    assert "No document is called y.txt." in str(run("show", "y.txt").exception)


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_store, "LIBRARIES", ("kiwipiepy", "not_there_at_all"))
    error = str(run("list").exception)
    assert error == (
        "This takes not_there_at_all, which is not installed. "
        "Install the extra `documents`: pip install 'kodolly[documents]'."
    )
