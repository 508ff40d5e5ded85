"""Two small tasks in lm-eval's format, with data laid out as a data set on the hub."""

import json
from pathlib import Path

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
