"""Files of other formats given to training: what they are called, and that the hint helps."""

import gzip
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from common.errors import UserError
from finetune.data.load import load_rows, rows_of_file
from finetune.files.hashes import file_hash
from finetune.recipes.load import load_recipe
from finetune.recipes.recipe import check_files
from finetune.rows.row import Pair, Row
from kodolly.cli import root

NUMBERS = range(30)
ALPACA = [
    {"instruction": f"{n}번 질문은 무엇인가요?", "input": "", "output": f"{n}번 답입니다."} for n in NUMBERS
]
DOLLY = [
    {
        "instruction": f"{n}번 질문은 무엇인가요?",
        "context": "",
        "response": f"{n}번 답입니다.",
        "category": "open_qa",
    }
    for n in NUMBERS
]
SHAREGPT = [
    {
        "conversations": [
            {"from": "human", "value": f"{n}번 질문은?"},
            {"from": "gpt", "value": f"{n}번 답입니다."},
        ]
    }
    for n in NUMBERS
]
TRL = [{"prompt": f"{n}번 질문은?", "chosen": f"{n}번 답입니다.", "rejected": "모릅니다."} for n in NUMBERS]
ODD = [{"물음": f"{n}번 질문은?", "풀이": f"{n}번 답입니다."} for n in NUMBERS]


def lines(records: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def array(records: list[dict[str, Any]]) -> bytes:
    return json.dumps(records, ensure_ascii=False, indent=1).encode()


def one_line(records: list[dict[str, Any]]) -> bytes:
    return json.dumps(records).encode()


def parquet(records: list[dict[str, Any]]) -> bytes:
    import pyarrow  # type: ignore[import-untyped]  # which loads pandas for a list of Python objects
    import pyarrow.parquet  # type: ignore[import-untyped]

    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def table(records: list[dict[str, Any]]) -> bytes:
    return "".join(",".join(row) + "\n" for row in [["질문", "답변"], *map(dict.values, records)]).encode()


def compressed(records: list[dict[str, Any]]) -> bytes:
    return gzip.compress(lines(records))


def in_cp949(records: list[dict[str, Any]]) -> bytes:
    return lines(records).decode().encode("cp949")


@pytest.mark.parametrize(
    ("name", "write", "records", "said"),
    [
        ("alpaca.jsonl", lines, ALPACA, "is JSON Lines: Alpaca"),
        ("alpaca.json", array, ALPACA, "is a JSON array: Alpaca"),
        ("line.json", one_line, ALPACA, "is a JSON array: Alpaca"),
        ("dolly.json", array, DOLLY, "is a JSON array: Dolly rows"),
        ("named-wrongly.jsonl", array, SHAREGPT, "is a JSON array: ShareGPT"),
        ("alpaca.parquet", parquet, ALPACA, "is a Parquet file: Alpaca"),
        ("qa.csv", table, ODD, "is a CSV table: a table"),
        ("dolly.jsonl.gz", compressed, DOLLY, "is JSON Lines, compressed: Dolly rows"),
        ("windows.jsonl", in_cp949, DOLLY, "is JSON Lines in CP949: Dolly rows"),
        ("rows.jsonl", lines, ALPACA, "is JSON Lines: Alpaca"),
        ("trl.jsonl", lines, TRL, "is JSON Lines: preference pairs"),
        ("no category.jsonl", lines, [{"instruction": "하나?", "response": "둘"}] * 3, "is JSON Lines: "),
    ],
)
def test_another_format_is_named_and_the_command_of_the_hint_makes_rows(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    write: Callable[[list[dict[str, Any]]], bytes],
    records: list[dict[str, Any]],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(write(records))
    with pytest.raises(UserError) as caught:
        load_rows(Path(name))
    assert f"{name} {said}" in caught.value.message
    assert "\n" not in str(caught.value)
    command = re.search(r"`kodolly (data convert .* (\S+\.jsonl))`", caught.value.hint)
    assert command
    done = CliRunner().invoke(root, shlex.split(command.group(1)))
    assert done.exit_code == 0, done.output
    assert command.group(2) != name
    assert load_rows(Path(command.group(2)))


def test_preference_data_of_others_is_converted_to_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("trl.jsonl").write_bytes(lines(TRL))
    with pytest.raises(UserError, match=r"`kodolly data convert trl\.jsonl pairs\.jsonl --pairs`"):
        list(rows_of_file(Path("trl.jsonl"), Pair))
    arguments = ["data", "convert", "trl.jsonl", "pairs.jsonl", "--pairs"]
    assert CliRunner().invoke(root, arguments).exit_code == 0
    assert len(list(rows_of_file(Path("pairs.jsonl"), Pair))) == len(TRL)
    Path("alpaca.json").write_bytes(array(ALPACA))
    with pytest.raises(UserError, match="Alpaca.* holds no preference pairs"):
        list(rows_of_file(Path("alpaca.json"), Pair))


def test_fields_that_nobody_knows_are_listed_with_the_flags_that_name_them(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_bytes(lines([{"가": "하나", "\x1b[1m나": "둘"}] * 3))
    with pytest.raises(UserError, match="whose records hold the fields 가, ") as caught:
        load_rows(path)
    assert "--column instruction=COLUMN" in caught.value.hint
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda: lines(DOLLY[:3]) + b'{"instruction": "a"}\n', "line 4: .*missing required field"),
        (lambda: lines(DOLLY[:3] + ALPACA[:2]), "line 4: .*unknown field `input`"),
        (lambda: lines([row | {"category": "잡담"} for row in DOLLY]), "line 1: the category '잡담'"),
        (lambda: b'{"instruction": "a"', "line 1: not valid JSON"),
    ],
)
def test_a_broken_line_among_rows_stays_a_broken_line(
    tmp_path: Path, broken: Callable[[], bytes], reason: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(broken())
    with pytest.raises(UserError, match=reason):
        list(rows_of_file(path, Row))


def test_a_data_set_of_the_hub_is_no_file(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "name: x\nmethod: lora\nbase: b\ndata: [{path: beomi/KoAlpaca-v1.1a}]\n", encoding="utf-8"
    )
    hub = "There is no file .*/beomi/KoAlpaca-v1.1a, and data sets .* `hf download beomi/KoAlpaca-v1.1a"
    for loaded in (load_recipe(recipe), load_recipe(recipe, ["data=beomi/KoAlpaca-v1.1a"])):
        with pytest.raises(UserError, match=hub):
            check_files(loaded)
        with pytest.raises(UserError, match=hub):
            file_hash(loaded.data[0].path)
    with pytest.raises(UserError, match=r"rows\.jsonl cannot be read: No such file"):
        check_files(load_recipe(recipe, ["data=rows.jsonl"]))
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        check_files(load_recipe(recipe, [f"data={tmp_path}"]))


def test_train_says_so_before_it_loads_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base").mkdir()
    Path("base/config.json").write_text("{}", encoding="utf-8")
    Path("tune.yaml").write_text(
        "name: x\nmethod: lora\nbase: base\ndata: [{path: beomi/KoAlpaca-v1.1a}]\n", encoding="utf-8"
    )
    done = CliRunner().invoke(root, ["train", "tune.yaml", "--dry-run"])
    assert done.exit_code != 0
    assert "data sets of the Hugging Face hub" in str(done.exception or done.output)


HUB = "beomi/KoAlpaca-v1.1a"
MODEL = "EleutherAI/polyglot-ko-1.3b"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["data", "convert", HUB, "out.jsonl"], f"hf download {HUB} --repo-type dataset"),
        (["data", "check", HUB], f"hf download {HUB} --repo-type dataset"),
        (["data", "clean", HUB, "out.jsonl"], f"hf download {HUB} --repo-type dataset"),
        (["data", "mix", HUB, "out.jsonl"], f"hf download {HUB} --repo-type dataset"),
        (["data", "split", HUB, "out"], f"hf download {HUB} --repo-type dataset"),
        (["train", MODEL], "Recipes that begin with it: polyglot-ko-1.3b-full"),
        (["train", "someone/some-model"], "kodolly train RECIPE base=someone/some-model"),
        (["train", "rows.jsonl"], "kodolly train RECIPE data=rows.jsonl"),
        (["train", "rows.csv"], "a data file, no recipe"),
        (["train", "model"], "kodolly train RECIPE base=model"),
        (["train", "r.yaml", f"base=https://huggingface.co/{MODEL}"], f"write base: {MODEL}"),
        (["train", "r.yaml", "base=gpt2"], "hf download OWNER/NAME"),
        (["train", "r.yaml", f"data={HUB}"], f"hf download {HUB} --repo-type dataset"),
    ],
)
def test_what_is_named_in_the_wrong_place_is_told_in_one_line(
    argv: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text(json.dumps({"instruction": "가?", "output": "나"}) + "\n")
    (tmp_path / "rows.csv").write_text("질문,답\n")
    for folder in ("model", "tiny"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.json").write_text("{}")
    (tmp_path / "r.yaml").write_text("name: a\nmethod: lora\nbase: tiny\ndata: [{path: rows.jsonl}]\n")
    error = CliRunner().invoke(root, argv).exception
    assert isinstance(error, UserError)
    told = f"{error} {error.hint}"
    assert words in told
    assert "\n" not in told
