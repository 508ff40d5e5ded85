"""`kodolly eval page`: card and scores on one page that fetches nothing; what others wrote is escaped."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from common.checkpoint import CheckpointCard, DataSource
from common.errors import UserError
from finetune.eval.report import EvalReport, Sample, score, write_json
from finetune.eval.training_curve import LOG_FILE, WIDTH
from finetune.models.checkpoint import write_card
from kodolly.cli import root

CARD = CheckpointCard(
    name="my-dolly",
    base_model="my-base",
    method="lora",
    data=[DataSource(path="행.jsonl", sha256="ab" * 32, rows=120)],
    licence="Apache-2.0",
    template="own",
    template_hash="cd" * 32,
    context_length=2048,
    dtype="bfloat16",
    parameters=1_234_567,
    metrics={"loss": 0.25},
    created=1_800_000_000,
)


def report(folder: Path, model: str, right: int) -> str:
    items = [[1.0]] * right + [[0.0]] * (100 - right)
    scores = [score("copa", "accuracy", items, "same"), score("말", "perplexity", [[2.0, 4]] * 9, "same")]
    sample = Sample(question="1 < 2?", wanted="네", answer=f"<script>{model}</script>")
    made = EvalReport(kind="rows", model=model, source="checkpoint", scores=scores, samples=[sample])
    write_json(folder / f"{model}.json", made)
    return str(folder / f"{model}.json")


def test_the_page_holds_licence_data_scores_and_differences(tmp_path: Path) -> None:
    write_card(tmp_path, CARD)
    reports = [report(tmp_path, "my-base", 30), report(tmp_path, "my-dolly", 80)]
    target = tmp_path / "page.html"
    done = CliRunner().invoke(root, ["eval", "page", str(tmp_path), *reports, "--output", str(target)])
    assert done.exit_code == 0, done.output
    page = target.read_text(encoding="utf-8")
    for told in ("Apache-2.0", "my-base", "행.jsonl", "120", "1,234,567", "0.8000 (", "+0.5000 ("):
        assert told in page
    assert page.count("<svg") == 2  # perplexity is no share
    assert 'class="better"' in page
    assert "<script>" not in page
    assert "&lt;script&gt;my-dolly" in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_losses_of_the_run_are_drawn(tmp_path: Path) -> None:
    write_card(tmp_path, CARD)
    reports = [report(tmp_path, "my-base", 30), report(tmp_path, "my-dolly", 80)]
    run = tmp_path / "run"
    run.mkdir()
    log: list[dict[str, float]] = [{"loss": 4 - step / 10, "step": step} for step in range(1, 31)]
    log += [{"eval_loss": 2.5, "step": 15}, {"eval_loss": 1.25, "step": 30}, {"train_runtime": 3, "step": 30}]
    log += [{"loss": float("nan"), "step": 31}]
    (run / LOG_FILE).write_text(json.dumps(log), encoding="utf-8")
    asked = ["eval", "page", str(tmp_path), *reports, "--output", str(tmp_path / "page.html")]
    done = CliRunner().invoke(root, [*asked, "--run", str(run)])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "3.900 at first, 1.000 at last" in page
    assert "best 1.250 at step 30" in page
    assert page.count("<polyline") == 2
    assert "nan" not in page
    first, last = re.findall(r'class="training" points="(\S+) .*? ?(\S+)"', page)[0]
    assert first.endswith(",8.0")  # the highest loss lies at the top, the last one at the right end
    assert last.startswith(f"{WIDTH:.1f},")


def test_a_run_without_losses_is_refused_and_a_checkpoint_without_is_not(tmp_path: Path) -> None:
    write_card(tmp_path, CARD)
    reports = [report(tmp_path, "my-base", 30), report(tmp_path, "my-dolly", 80)]
    asked = ["eval", "page", str(tmp_path), *reports, "--output", str(tmp_path / "page.html")]
    assert CliRunner().invoke(root, asked).exit_code == 0
    assert "<polyline" not in (tmp_path / "page.html").read_text(encoding="utf-8")
    for content in (None, "[]", "{}", "no json"):
        if content is not None:
            (tmp_path / LOG_FILE).write_text(content, encoding="utf-8")
        refused = CliRunner().invoke(root, [*asked, "--run", str(tmp_path)])
        assert isinstance(refused.exception, UserError)
        assert LOG_FILE in str(refused.exception)


def test_a_directory_without_a_card_is_refused(tmp_path: Path) -> None:
    found = CliRunner().invoke(root, ["eval", "page", str(tmp_path), report(tmp_path, "a", 1)])
    assert isinstance(found.exception, UserError)
    with pytest.raises(UserError, match="two models"):
        write_card(tmp_path, CARD)
        done = CliRunner().invoke(root, ["eval", "page", str(tmp_path), report(tmp_path, "a", 1)])
        raise done.exception or AssertionError
