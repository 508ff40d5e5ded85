"""Mixing rows: shares by weight, the same bytes for the same seed, a manifest that holds."""

import gzip
import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from finetune.data.load import load_rows
from finetune.data.mix import WeightedFile, manifest_path, mix, shares
from kodolly.cli import root


def rows_file(path: Path, name: str, count: int) -> Path:
    lines = []
    for number in range(count):
        made = {
            "instruction": f"{name} {number}번 질문",
            "context": "",
            "response": f"{number}번 답",
            "category": "open_qa",
        }
        lines.append(json.dumps(made, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


def counts(path: Path) -> Counter[str]:
    return Counter(row.instruction.split()[0] for row in load_rows(path))


def test_without_weights_all_rows_are_shuffled(tmp_path: Path) -> None:
    first = rows_file(tmp_path / "a.jsonl", "하나", 30)
    second = rows_file(tmp_path / "b.jsonl", "둘", 10)
    output = tmp_path / "mixed.jsonl"
    mix([WeightedFile(first, None), WeightedFile(second, None)], output)
    before = [*first.read_bytes().splitlines(), *second.read_bytes().splitlines()]
    after = output.read_bytes().splitlines()
    assert sorted(after) == sorted(before)
    assert after != before


def test_weights_are_shares_and_no_row_comes_twice(tmp_path: Path) -> None:
    sources = [
        WeightedFile(rows_file(tmp_path / "a.jsonl", "하나", 40), 3.0),
        WeightedFile(rows_file(tmp_path / "b.jsonl", "둘", 100), 1.0),
    ]
    output = tmp_path / "mixed.jsonl"
    mix(sources, output)
    assert counts(output) == {"하나": 40, "둘": 13}
    assert len(set(output.read_bytes().splitlines())) == 53


def test_a_number_of_rows_repeats_small_sources_evenly(tmp_path: Path) -> None:
    sources = [
        WeightedFile(rows_file(tmp_path / "a.jsonl", "하나", 4), 1.0),
        WeightedFile(rows_file(tmp_path / "b.jsonl", "둘", 100), 1.0),
    ]
    output = tmp_path / "mixed.jsonl"
    parts = mix(sources, output, rows=20)
    assert [part.taken for part in parts] == [10, 10]
    times = Counter(line for line in output.read_bytes().splitlines() if "하나".encode() in line)
    assert sorted(times.values()) == [2, 2, 3, 3]


def test_the_seed_decides_and_the_manifest_holds(tmp_path: Path) -> None:
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(rows_file(tmp_path / "b.jsonl", "둘", 20).read_bytes()))
    sources = [WeightedFile(rows_file(tmp_path / "a.jsonl", "하나", 20), 1.0), WeightedFile(packed, 0.5)]
    outputs = [tmp_path / f"{name}.jsonl" for name in ("first", "same", "other")]
    for output, seed in zip(outputs, (7, 7, 8), strict=True):
        mix(sources, output, seed=seed)
    first, same, other = (output.read_bytes() for output in outputs)
    assert first == same != other
    manifest = json.loads(manifest_path(outputs[0]).read_text(encoding="utf-8"))
    assert manifest["output"] == {
        "file": "first.jsonl",
        "sha256": hashlib.sha256(first).hexdigest(),
        "rows": 30,
    }
    assert manifest["seed"] == 7
    assert [source["taken"] for source in manifest["sources"]] == [20, 10]
    assert manifest["sources"][1]["sha256"] == hashlib.sha256(packed.read_bytes()).hexdigest()


def test_mixtures_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    first = rows_file(tmp_path / "a.jsonl", "하나", 3)
    output = tmp_path / "mixed.jsonl"
    with pytest.raises(UserError, match="has no weight"):
        mix([WeightedFile(first, 1.0), WeightedFile(first, None)], output)
    with pytest.raises(UserError, match="must be above 0"):
        mix([WeightedFile(first, 0.0)], output)
    with pytest.raises(UserError, match="cannot be written at the same time"):
        mix([WeightedFile(first, None)], first)
    broken = tmp_path / "broken.jsonl"
    broken.write_text(first.read_text(encoding="utf-8") + '{"instruction": 1}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"broken\.jsonl, line 4: Expected `str`"):
        mix([WeightedFile(broken, None)], output)
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"instruction": "가", "chosen": "나", "rejected": "다"}), encoding="utf-8")
    with pytest.raises(UserError, match="cannot be mixed"):
        mix([WeightedFile(first, None), WeightedFile(pairs, None)], output)
    assert {path.name for path in tmp_path.iterdir()} == {"a.jsonl", "broken.jsonl", "pairs.jsonl"}


def test_the_command_reads_weights_and_says_what_it_took(tmp_path: Path) -> None:
    first = rows_file(tmp_path / "a=b.jsonl", "하나", 3)
    second = rows_file(tmp_path / "c.jsonl", "둘", 30)
    output = tmp_path / "mixed.jsonl"
    result = CliRunner().invoke(
        root, ["data", "mix", f"{first}=1", f"{second}=2", str(output), "--rows", "12"]
    )
    assert result.exit_code == 0, result.output
    assert "(each 1.3 times)" in result.output
    assert counts(output) == {"하나": 4, "둘": 8}
    assert CliRunner().invoke(root, ["data", "mix", str(first), str(output)]).exit_code == 0
    assert counts(output) == {"하나": 3}


@given(
    st.lists(st.tuples(st.floats(0.01, 100), st.integers(1, 10_000)), min_size=1, max_size=5),
    st.none() | st.integers(5, 100_000),
)
def test_shares_add_up_and_follow_the_weights(sources: list[tuple[float, int]], rows: int | None) -> None:
    weights = [weight for weight, _ in sources]
    counts = [count for _, count in sources]
    taken = shares(weights, counts, rows)
    if rows is None:
        assert all(part <= count for part, count in zip(taken, counts, strict=True))
    else:
        assert sum(taken) == rows
    for part, weight in zip(taken, weights, strict=True):
        assert abs(part - sum(taken) * weight / sum(weights)) <= 1
