"""What models, workers and keys are called, and what they say, never steers the terminal."""

import ast
import json
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from common.escape import escape_controls, escape_json, escape_pieces
from common.registry import ModelCard, Snapshot, WorkerRecord
from common.status import Status, StatusModel, StatusProvider
from kodolly import cli
from kodolly.console import Console
from kodolly.operate.screen import _show
from tests.support.quiet_handler import QuietHandler, answering

EVIL = "돌리\x1b]0;title\x07\x9b2J\x7f\u202eilod\u2066\u200b\ufeff\r\nforged"
SHOWN = r"돌리\x1b]0;title\x07\x9b2J\x7f\u202eilod\u2066\u200b\ufeff\r\nforged"
ENGLAND = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
WHOLE = f"한국어 ᄒᆞᆫ글 👩\u200d💻 ❤\ufe0f 葛\U000e0100 می\u200cخواهم {ENGLAND}\t끝"
"""Joined and varied characters: all of it is as it should be."""
REORDERING = ("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI")
"""Bidi classes of UAX 9."""


def assert_harmless(text: str, allowed: str = "\n") -> None:
    for char in text:
        assert char in allowed or unicodedata.category(char) not in ("Cc", "Zl", "Zp", "Cs"), repr(char)
        assert unicodedata.bidirectional(char) not in (
            "LRE",
            "RLE",
            "PDF",
            "LRO",
            "RLO",
            "LRI",
            "RLI",
            "FSI",
            "PDI",
        )


class Far(QuietHandler):
    """A gateway and a controller; the class made from this says what they answer."""

    status = Status(
        version=EVIL,
        uptime_s=1,
        models=[
            StatusModel(id=EVIL, kind="worker", state="ready", licence=EVIL, base=EVIL, context_length=32768),
            StatusModel(id="b", kind="external", provider="openai", state="ready"),
        ],
        providers=[StatusProvider(name=EVIL, configured=True, key_env="K", models=[EVIL], hidden=[EVIL])],
        controller_connected=True,
    )
    worker = WorkerRecord(
        worker_id="worker-1",
        incarnation="incarnation-1",
        url="http://127.0.0.1:9",
        models=(ModelCard(name=EVIL, base=EVIL),),
        state="down",
        detail=EVIL,
    )
    pieces: tuple[str, ...] = ()
    error = ""
    workers: tuple[WorkerRecord, ...] = (worker,)

    def do_GET(self) -> None:
        cluster = Snapshot(epoch="1", version=1, workers=self.workers, aliases={EVIL: EVIL})
        known = cluster if self.path == "/v1/workers" else self.status
        self.answer(known.model_dump_json().encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        type(self).workers = ()
        frames = [{"choices": [{"delta": {"content": piece}}]} for piece in self.pieces]
        events = [*frames, {"error": {"message": self.error}}] if self.error else frames
        self.answer(b"".join(b"data: %b\n\n" % as_engines_write(event) for event in events))


def as_engines_write(event: object) -> bytes:
    """JSON with every character as it is, except the half of a pair, for which UTF-8 has no bytes."""
    text = json.dumps(event, ensure_ascii=False)
    return re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text).encode()


@contextmanager
def far(*pieces: str, error: str = "") -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), type("Scripted", (Far,), {"pieces": pieces, "error": error}))
    with answering(server) as url:
        yield url


def kodolly(*args: str) -> Result:
    return CliRunner().invoke(cli.root, args)


def ask(*pieces: str) -> str:
    with far(*pieces) as url:
        done = kodolly("ask", "--gateway", url, "-m", "m", "안녕")
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_an_answer_is_escaped_wherever_it_is_split(size: int) -> None:
    text = f"첫째\r\n둘째\t{WHOLE}\n{EVIL.replace(chr(13), '')}"
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    shown = ask(*pieces)
    assert shown == f"첫째\n둘째\t{WHOLE}\n" + SHOWN.replace(r"\r\n", "\n") + "\n"
    assert_harmless(shown, "\n\t")


def test_what_unicode_calls_a_line_end_ends_no_event() -> None:
    assert ask("가\u2028나\x85다") == "가\\u2028나\\x85다\n"


def test_halves_of_one_emoji_meet_and_a_half_alone_is_shown() -> None:
    assert ask("웃음 \ud83d", "\ude00 \ud83d", "끝\r") == "웃음 😀 \\ud83d끝\\r\n"


def test_the_models_and_the_name_above_an_answer_are_escaped() -> None:
    with far("네") as url:
        done = kodolly("ask", "--gateway", url, "-m", EVIL, "-m", "b", "안녕")
        models = kodolly("models", "--gateway", url)
        as_json = kodolly("models", "--gateway", url, "--json")
    assert f"── {SHOWN}" in done.stderr
    assert_harmless(done.output + models.output + as_json.output)
    # Name, base and licence; then the hidden name twice and its provider twice.
    assert models.output.count(SHOWN) == 7
    assert "32,768 tokens" in models.output
    assert json.loads(as_json.stdout)[0]["id"] == EVIL


def test_what_workers_say_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KODOLLY_JOIN_TOKEN", "token")
    with far() as url:
        listed = kodolly("ps", "--controller", url)
        as_json = kodolly("ps", "--controller", url, "--json")
        aliases = kodolly("alias", "--controller", url)
        unknown = kodolly("drain", "nobody", "--controller", url)
        drained = kodolly("drain", EVIL, "--controller", url)
    assert listed.exit_code == drained.exit_code == 0, listed.output + drained.output
    # Its model, why it is down, the model and its base, the alias and its target.
    assert listed.output.count(SHOWN) == 6
    assert json.loads(as_json.stdout)["workers"][0]["models"][0]["name"] == EVIL
    assert aliases.output == f"{SHOWN}  ->  {SHOWN}\n"
    assert isinstance(unknown.exception, UserError)
    assert "worker-1: stopped" in drained.output
    assert_harmless(listed.output + as_json.output + aliases.output + drained.output)


def test_keys_and_their_usage_are_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KODOLLY_STATE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    made = kodolly("keys", "create", EVIL, "--model", EVIL)
    listed = kodolly("keys", "list")
    as_json = kodolly("keys", "list", "--json")
    assert SHOWN in made.stderr
    assert listed.output.count(SHOWN) == 2
    assert_harmless(made.output + listed.output + as_json.output + kodolly("usage").output)
    assert json.loads(as_json.stdout)[0]["name"] == EVIL


def test_an_error_is_one_harmless_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with far("앞", error=EVIL) as url:
        monkeypatch.setattr("sys.argv", ["kodolly", "ask", "--gateway", url, "-m", "m", "안녕"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    seen = capsys.readouterr()
    assert (ended.value.code, seen.out, seen.err) == (2, "앞", f"kodolly: {SHOWN}\n")


def test_lines_of_parts_progress_and_the_screen_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(colour=False, began=0.0)
    console.say("up", EVIL)
    console.progress(EVIL)
    _show([EVIL])
    seen = capsys.readouterr()
    assert seen.err == f"{'up':<18} {SHOWN}\n{SHOWN}\n"
    assert SHOWN in seen.out


@given(st.lists(st.text(st.characters(codec=None))))
def test_nothing_deceptive_passes_and_what_is_visible_is_kept(pieces: list[str]) -> None:
    assert_harmless("".join(escape_pieces(pieces)), "\n\t")
    text = "".join(pieces)
    assert_harmless(escape_controls(text), "")
    assert escape_controls(escape_controls(text)) == escape_controls(text)
    document = json.dumps({"name": text}, ensure_ascii=False)
    assert_harmless(escape_json(document), "")
    assert json.loads(escape_json(document)) == json.loads(document)


@given(st.text(st.characters(exclude_categories=("C", "Z"))), st.integers(1, 5))
def test_visible_text_stays_as_it_is(text: str, size: int) -> None:
    text += WHOLE
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    assert "".join(escape_pieces(pieces)) == text == escape_controls(text, keep="\t")


def test_names_in_data_files_are_escaped(tmp_path: Path) -> None:
    row = {"instruction": "돌리는 누구인가요?", "input": "", "output": "복제 양입니다.", EVIL: "x"}
    (tmp_path / "rows.json").write_text(json.dumps([row], ensure_ascii=False))
    done = kodolly("data", "convert", str(tmp_path / "rows.json"), str(tmp_path / "made.jsonl"))
    assert f"fields in no row: {SHOWN}" in done.output
    assert_harmless(done.output)


def test_what_commands_put_together_is_escaped() -> None:
    """`click.echo` is for sentences of ours and for tables, whose cells are escaped."""
    raw = []
    for file in sorted(Path(cli.__file__).parent.rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in ("click.echo", "print"):
                put_together = bool(call.args) and isinstance(call.args[0], ast.JoinedStr)
                if put_together and file.name not in ("cli.py", "console.py", "doctor.py"):
                    raw.append(f"{file.name}:{call.lineno}")
    assert raw == []


def test_settings_of_other_trainers_are_escaped(tmp_path: Path) -> None:
    settings = {
        "stage": "sft",
        "model_name_or_path": "a/b",
        "dataset": "rows.jsonl",
        "template": "llama3",
        EVIL: "x",
    }
    (tmp_path / "theirs.yaml").write_text(json.dumps(settings))
    done = kodolly("recipes", "import", str(tmp_path / "theirs.yaml"), str(tmp_path / "ours.yaml"))
    assert SHOWN in done.output
    assert_harmless(done.output)
