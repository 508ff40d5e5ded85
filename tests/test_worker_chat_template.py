"""A published checkpoint without a chat template gets the one it was trained with."""

import json
from pathlib import Path

import pytest

from common.chat_template import load_template
from worker.chat_template import template_flags


@pytest.mark.parametrize(
    ("folder", "config", "template"),
    [
        ("databricks/dolly-v2-3b", {}, "dolly"),
        ("models--beomi--KoAlpaca-Polyglot-5.8B/snapshots/0a1b", {}, "koalpaca-polyglot"),
        ("local", {"_name_or_path": "nlpai-lab/kullm-polyglot-5.8b-v2"}, "kullm"),
    ],
)
def test_the_template_is_found_by_the_models_id(
    tmp_path: Path, folder: str, config: dict[str, str], template: str
) -> None:
    directory = tmp_path / folder
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    flag, file = template_flags(directory, [])
    assert flag == "--chat-template"
    assert Path(file).read_text(encoding="utf-8") == load_template(template)
    assert template_flags(directory, ["--chat-template=own.jinja"]) == []
    (directory / "tokenizer_config.json").write_text('{"chat_template": "{{ 1 }}"}', encoding="utf-8")
    assert template_flags(directory, []) == []


def test_an_unknown_model_is_left_alone(tmp_path: Path) -> None:
    assert template_flags(tmp_path, []) == []
