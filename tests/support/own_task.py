"""Two small tasks in lm-eval's format with data laid out as on the hub, and one that it ships, with data in
the hub's cache.
"""

import json
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

QUESTIONS = ("하늘은 무슨 색인가요?", "바다에는 누가 사나요?", "나무는 어떻게 자라나요?", "구름이 뭐예요?")
RANKED = """\
task: kodolly_ranked
dataset_path: nobody/no-such-data
output_type: multiple_choice
test_split: test
doc_to_text: "{{question}}"
doc_to_choice: ["가가가", "사사사"]
doc_to_target: 0
metric_list: [{metric: acc}, {metric: acc_norm}]
"""
GENERATED = """\
task: kodolly_generated
dataset_path: nobody/no-such-data
output_type: generate_until
test_split: test
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["</s>"], max_gen_toks: 4, do_sample: false}
metric_list: [{metric: exact_match}]
"""
GROUP = """\
group: kodolly_both
task: [kodolly_ranked, kodolly_generated]
"""


def write_task(
    folder: Path, answers: tuple[str, ...] = ("가가가", "나나나", "다다다", "모른다")
) -> list[str]:
    """Options of `kodolly eval task` for them."""
    (folder / "tasks").mkdir()
    for name, text in (("ranked", RANKED), ("generated", GENERATED), ("both", GROUP)):
        (folder / "tasks" / f"{name}.yaml").write_text(text, encoding="utf-8")
    (folder / "data").mkdir()
    lines = [
        json.dumps({"question": question, "answer": answer}, ensure_ascii=False)
        for question, answer in zip(QUESTIONS, answers, strict=True)
    ]
    (folder / "data" / "test.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ["--tasks", str(folder / "tasks"), "--data", str(folder / "data")]


KMMLU = """\
---
configs:
- config_name: Accounting
  data_files:
  - {split: dev, path: data/Accounting-dev.parquet}
  - {split: test, path: data/Accounting-test.parquet}
---
"""


def download_kmmlu(hub: Path) -> list[str]:
    """`hub` as `hf download HAERAE-HUB/KMMLU --repo-type dataset` leaves it: files, and links to them below
    the commit that `main` names. Returns options of `kodolly eval task` for the tasks that lm-eval ships."""
    import lm_eval.tasks  # type: ignore[import-untyped]

    commit, repository = "1" * 40, hub / "datasets--HAERAE-HUB--KMMLU"
    snapshot = repository / "snapshots" / commit
    for folder in (repository / "refs", repository / "blobs", snapshot / "data"):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit, encoding="utf-8")
    for split, count in (("dev", 5), ("test", 8)):
        columns: dict[str, list[str] | list[int]] = {
            "question": [f"{split}의 질문 {n}?" for n in range(count)],
            "answer": [1 + n % 4 for n in range(count)],
        }
        columns |= {letter: [f"{letter}의 답 {n}" for n in range(count)] for letter in "ABCD"}
        pq.write_table(pa.table(columns), repository / "blobs" / split)
        (snapshot / "data" / f"Accounting-{split}.parquet").symlink_to(repository / "blobs" / split)
    (snapshot / "README.md").write_text(KMMLU, encoding="utf-8")
    return ["--tasks", str(Path(lm_eval.tasks.__file__).parent / "kmmlu" / "direct")]
