"""Training and merging with a base's own chat template: chosen by default, shown, recorded, proven again."""

import json
from contextlib import nullcontext
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.chat_template import load_template, read_own_template
from common.checkpoint import read_card
from common.errors import UserError
from finetune.encoding.encode import encode_rows, prompt_ids
from finetune.encoding.own_settings import OwnSettings, find_settings
from finetune.encoding.parity import check_tokens
from finetune.encoding.text_ids import decoded
from finetune.eval.checkpoint_model import load_eval_tokenizer
from finetune.merge import serving_proof
from finetune.merge.lora import merge
from finetune.models.adapter import Probe, read_adapter
from finetune.models.load import load_tokenizer
from finetune.progress import silent
from finetune.recipes.load import load_recipe
from finetune.recipes.template_choice import choose_template
from finetune.rows.row import Row
from finetune.train.run import train
from finetune.train.sequences import gather
from tests.support import own_templates
from tests.support.own_models import QWEN3, make_own_model, weather_rows
from tests.support.own_templates import tokenizer_for

pytestmark = pytest.mark.slow

RECIPE = """
name: own-tiny
method: lora
base: base
data: [{path: rows.jsonl}]
licence: Apache-2.0
max_length: 512
max_steps: 1
dtype: float32
smoke_test: false
checkpoint_every: never
report_to: []
"""
TURNS = {
    "instruction": "바다는?",
    "context": "",
    "response": "깊습니다.",
    "category": "open_qa",
    "history": [{"role": "user", "content": "하늘은?"}, {"role": "assistant", "content": "파랗습니다."}],
}
PLAIN = {"instruction": "산은?", "context": "", "response": "높습니다.", "category": "open_qa"}
DATED = own_templates.THINKING.replace(
    "{%- for m",
    "{{- strftime_now('%d %B %Y') + '\n' }}"
    "{%- for tool in tools or [] %}{{- (tool | tojson) + '\n' }}{%- endfor %}{%- for m",
    1,
).replace(
    own_templates.JSON_CALL,
    "{{- '<tool_call>\n' + (call.function | tojson) + '\n</tool_call>' }}",
)
"""It asks for the date, and writes tools and calls as whole objects."""
OTHER_ORDER = {
    "function": {"parameters": {"type": "object"}, "name": "get_weather", "note": 1},
    "type": "function",
}
"""A tool without a description, with keys in another order than the engine's and one that it drops."""


def recipe(folder: Path, *overrides: str) -> Any:
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return load_recipe(folder / "recipe.yaml", overrides)


def settings(text: str, *stops: str) -> OwnSettings:
    tokenizer = tokenizer_for(text, stops)
    numbers = tuple(tokenizer.convert_tokens_to_ids(list(stops)))
    return find_settings(tokenizer, numbers, date(2026, 11, 1))


def test_the_switch_for_thinking_is_found_by_trying() -> None:
    found = settings(own_templates.THINKING, "<|im_end|>")
    assert (found.plain, found.thinking, found.day) == ({"enable_thinking": False}, {}, None)
    assert settings(own_templates.PLAIN, "<|im_end|>").plain == {}
    effort = own_templates.THINKING.replace(
        "enable_thinking is defined and not enable_thinking", "effort is defined and effort == 'none'"
    )
    assert settings(effort, "<|im_end|>").plain == {"effort": "none"}
    renamed = "{% set depth = effort if effort is defined else 'high' %}" + own_templates.THINKING.replace(
        "enable_thinking is defined and not enable_thinking", "depth in ['none', 'off']"
    )
    assert settings(renamed, "<|im_end|>").plain == {"effort": "none"}
    kept = own_templates.THINKING.replace(
        "(m.reasoning_content or '')", "(m.reasoning_content if keep else '')"
    )
    assert settings(kept, "<|im_end|>").thinking == {"keep": True}
    assert settings(DATED, "<|im_end|>").day == date(2026, 11, 1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (own_templates.UNKNOWN, "writes out preamble, and nobody gives it that"),
        ("{% if %}", "it is not valid Jinja"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_in_a_line(text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        settings(text, "<|im_end|>")


def test_the_bases_own_template_is_the_default_and_one_of_ours_goes_by_its_name(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}", encoding="utf-8")
    assert choose_template(recipe(tmp_path)).name == "dolly"
    with pytest.raises(UserError, match="has no chat template of its own"):
        choose_template(recipe(tmp_path, "template=own"))
    named = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": own_templates.PLAIN}]
    (base / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}), encoding="utf-8")
    assert read_own_template(base) == own_templates.PLAIN
    assert choose_template(recipe(tmp_path)).is_own
    (base / "chat_template.jinja").write_text(load_template("chatml"), encoding="utf-8")
    assert choose_template(recipe(tmp_path)).name == "chatml"
    assert choose_template(recipe(tmp_path, "template=dolly")).name == "dolly"
    (tmp_path / "mine.jinja").write_text(own_templates.TRIMS, encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(RECIPE + "template: mine.jinja\n", encoding="utf-8")
    mine = load_recipe(tmp_path / "recipe.yaml")
    assert choose_template(mine).text == own_templates.TRIMS
    assert mine.card_dict()["template"] == "mine.jinja"
    with pytest.raises(UserError, match=r"nowhere\.jinja"):
        recipe(tmp_path, f"template={tmp_path / 'nowhere.jinja'}")


def test_a_model_that_always_thinks_learns_plain_rows_where_the_recipe_says_so(tmp_path: Path) -> None:
    model = replace(QWEN3, template=replace(QWEN3.template, text=own_templates.OPENS_THOUGHT))
    make_own_model(model, tmp_path, [PLAIN, TURNS])
    with pytest.raises(UserError, match=r"the prompt opens a thought \(<think>\)"):
        train(recipe(tmp_path), tmp_path / "refused", silent)
    train(recipe(tmp_path, "reasoning=empty"), tmp_path / "adapter", silent)
    merge(tmp_path / "adapter", tmp_path / "merged", silent)
    card = read_card(tmp_path / "merged")
    assert card is not None
    assert card.own_template is not None
    assert card.own_template.closes_thoughts


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with base, rows and an adapter of one step; what was shown."""
    folder = tmp_path_factory.mktemp("own")
    model = replace(QWEN3, template=replace(QWEN3.template, text=DATED))
    weather = [row | {"tools": [OTHER_ORDER]} if n % 2 else row for n, row in enumerate(weather_rows())]
    make_own_model(model, folder, [*weather, TURNS, PLAIN])
    shown: list[str] = []
    train(recipe(folder), folder / "adapter", silent, show=shown.append)
    return folder, shown


def test_the_pre_flight_tells_how_rows_are_rendered_and_what_splitting_costs(
    tuned: tuple[Path, list[str]],
) -> None:
    told = "\n".join(tuned[1])
    assert "own: the base's own" in told
    assert f"today is {date.today().isoformat()}; 1 rows are several sequences" in told
    assert "times the tokens of one sequence a row; learn: last has one each" in told
    assert "<|im_end|> (id" in told


def test_rows_stay_whole_when_some_of_them_are_several_sequences(
    tuned: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder, _ = tuned
    base = folder / "base"
    tokenizer = load_tokenizer(base, choose_template(recipe(folder)).text)
    from finetune.encoding.own_settings import set_own

    set_own(tokenizer, find_settings(tokenizer, (tokenizer.eos_token_id,), date.today()))
    rows = gather(recipe(folder, "validation=0.25", "checkpoint_every=epoch"), tokenizer, tmp_path, silent)
    assert rows.rows == 4
    assert rows.validation is not None
    offsets = [
        {int(kept.stores[store].places[place]) for store, place in kept.places}
        for kept in (rows.train, rows.validation)
    ]
    assert not offsets[0] & offsets[1]
    assert len(offsets[0] | offsets[1]) == 4
    assert len(rows.train) + len(rows.validation) == 5
    last = gather(recipe(folder, "learn=last"), tokenizer, tmp_path, silent)
    assert len(last.train) == 4
    assert last.split() == (0, 1.0)
    assert np.all(last.train.learnt_lengths > 0)
    assert all(example.messages for example in rows.conversations(tokenizer, 9))


def test_a_merge_on_another_day_is_proven_with_the_day_of_training(
    tuned: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = tuned
    path = folder / "adapter" / "kodolly-adapter.json"
    assert {
        probe.template_kwargs.get("enable_thinking") for probe in read_adapter(folder / "adapter").probes
    } == {
        None,
        False,
    }
    (folder / "base" / "processor_config.json").write_text('{"a": 1, "chat_template": "x"}', encoding="utf-8")
    (folder / "base" / "tekken.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr("common.template_rendering.datetime", _Tomorrow)
    merge(folder / "adapter", folder / "merged", silent)
    card = read_card(folder / "merged")
    assert card is not None
    assert card.own_template is not None
    assert card.template == "own"
    assert card.own_template.date == date.today().isoformat()
    assert card.own_template.stop_tokens == ["<|im_end|>", "<|endoftext|>"]
    assert read_own_template(folder / "merged") == DATED
    generation = json.loads((folder / "merged" / "generation_config.json").read_text(encoding="utf-8"))
    assert len(generation["eos_token_id"]) == 2
    assert generation["temperature"] == 0.6
    assert json.loads((folder / "merged" / "processor_config.json").read_text(encoding="utf-8")) == {"a": 1}
    assert not (folder / "merged" / "tekken.json").exists()
    probes = read_adapter(folder / "adapter").probes
    other = card.own_template.model_copy(update={"date": "2020-01-01"})
    with pytest.raises(UserError, match="give other tokens than training saw"):
        check_tokens(folder / "merged", probes, other)
    assert path.is_file()
    # What was tuned in a template of its own is tuned further in it, and in no other.
    further = recipe(folder, f"base={folder / 'merged'}")
    assert choose_template(further).is_own
    with pytest.raises(UserError, match="was trained with the template 'own', not 'dolly'"):
        train(
            recipe(folder, f"base={folder / 'merged'}", "template=dolly"), folder / "no", silent, dry_run=True
        )


def test_a_merge_that_vllm_renders_otherwise_is_refused_and_leaves_nothing(
    tuned: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = tuned
    seen: list[Probe] = []

    def other_tokens(_url: str, probe: Probe) -> list[int]:
        seen.append(probe)
        return [*probe.input_ids[: probe.prompt_tokens], 7]

    monkeypatch.setattr(serving_proof, "vllm_server", lambda *_asked: nullcontext())
    monkeypatch.setattr(serving_proof, "_rendered", other_tokens)
    with pytest.raises(UserError, match="vLLM makes other tokens of a prompt than training saw"):
        merge(folder / "adapter", folder / "refused", silent, renderer=True)
    assert len(seen) == 1
    assert not (folder / "refused").exists()
    monkeypatch.setattr(
        serving_proof, "_rendered", lambda _vllm, probe: probe.input_ids[: probe.prompt_tokens]
    )
    merge(folder / "adapter", folder / "proven", silent, renderer=True)
    card = read_card(folder / "proven")
    assert card is not None
    assert card.metrics["serving_prompts"] == len(read_adapter(folder / "adapter").probes)


def test_where_vllms_renderer_does_not_start_the_merge_says_so_and_goes_on(
    tuned: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = tuned
    monkeypatch.setattr(serving_proof, "RENDERER", "no_such_module")
    told: list[str] = []
    merge(folder / "adapter", folder / "unproven", lambda progress: told.append(str(progress)), renderer=True)
    assert any("renderer did not start" in line for line in told)
    card = read_card(folder / "unproven")
    assert card is not None
    assert card.metrics["serving_prompts"] == 0


def test_vllms_own_renderer_makes_the_tokens_of_every_prompt_that_training_saw(
    tuned: tuple[Path, list[str]],
) -> None:
    folder, _ = tuned
    merge(folder / "adapter", folder / "rendered", silent, renderer=serving_proof.has_renderer())
    card = read_card(folder / "rendered")
    assert card is not None
    assert card.metrics["serving_prompts"] == len(read_adapter(folder / "adapter").probes) > 4


def test_a_checkpoint_is_measured_in_its_own_template_without_thinking(
    tuned: tuple[Path, list[str]],
) -> None:
    tokenizer = load_eval_tokenizer(tuned[0] / "base", None)
    asked = decoded(tokenizer, prompt_ids(tokenizer, [{"role": "user", "content": "산은?"}]))
    assert asked.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    example = encode_rows(tokenizer, [Row.model_validate(PLAIN)])[0]
    learnt = [token for token, label in zip(example.input_ids, example.labels, strict=True) if label >= 0]
    assert tokenizer.decode(learnt) == "높습니다.<|im_end|>"


class _Tomorrow:
    """Stands for datetime in a process that runs on another day."""

    def __new__(cls, year: int, month: int, day: int) -> Any:
        from datetime import datetime

        return datetime(year, month, day)

    @staticmethod
    def now() -> Any:
        from datetime import datetime

        return datetime(2031, 1, 1)
