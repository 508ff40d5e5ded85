"""The worker finds vLLM's parsers by trying the chat template, says so, and is overruled by flags."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from common.template_parsers import Parsers, find_parsers
from common.template_rendering import ChatTemplate
from tests.support.own_templates import OPENS_THOUGHT, PLAIN, PROMPT, THINKING
from worker.parsers import parser_flags

THINKS = "{% if m.reasoning_content %}{{ '<think>\n' + m.reasoning_content + '\n</think>\n\n' }}{% endif %}"
OFF = "{{ '<think>\n' if thinking is defined and thinking else '<think>\n\n</think>\n\n' }}"


def template(call: str = "", thought: str = "", after: str = "") -> str:
    """ChatML whose answers write a call and a thought so, and whose prompts end so."""
    calls = "{% for call in m.tool_calls or [] %}{% set f = call.function %}" + call + "{% endfor %}"
    body = (
        "{{ '<|im_start|>' + m.role + '\n' }}" + thought + "{{ m.content }}" + calls + "{{ '<|im_end|>\n' }}"
    )
    loop = "{% for m in messages %}" + body + "{% endfor %}"
    return loop + PROMPT.replace("{% endif %}", after + "{% endif %}")


XML = "{{ '<tool_call>\n<function=' + f.name + '>' }}{% for k, v in f.arguments.items() %}{{ v }}{% endfor %}"
KNOWN = {
    "no tools, no thoughts": (PLAIN, Parsers(None, None)),
    "Hermes, thinks unless told not to": (THINKING, Parsers("hermes", "qwen3")),
    "XML": (template(XML), Parsers("qwen3_coder", None)),
    "Mistral's": (template("{{ '[TOOL_CALLS][' + f | tojson + ']' }}"), Parsers("mistral", None)),
    "Llama's": (
        template("""{{ '{"name": "' + f.name + '", "parameters": ' + f.arguments | tojson + '}' }}"""),
        Parsers("llama3_json", None),
    ),
    "GLM's": (
        template("{{ '<tool_call>' + f.name + '\n<arg_key>city</arg_key>' + f.arguments.city }}", THINKS),
        Parsers("glm45", "glm45"),
    ),
    "harmony": (
        template(
            "{{ ' to=functions.' + f.name + f.arguments | tojson }}",
            THINKS.replace("<think>", "<|channel|>analysis"),
        ),
        Parsers("openai", "openai_gptoss"),
    ),
    "thinks when asked to": (template("", THINKS, OFF), Parsers(None, "deepseek_v3")),
    "always thinks": (OPENS_THOUGHT, Parsers(None, "deepseek_r1")),
    "an unknown format": (template("{{ '~~' + f.name + f.arguments.city }}"), Parsers(None, None)),
    "a template that raises": (PLAIN + "{{ raise_exception('no') }}", Parsers(None, None)),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_rendered_call_and_thought_say_which_parsers_read_them(name: str) -> None:
    text, expected = KNOWN[name]
    assert find_parsers(ChatTemplate(text), {}) == expected


def checkpoint(folder: Path, text: str, **own: Any) -> Path:
    (folder / "chat_template.jinja").write_text(text, encoding="utf-8")
    if own:
        card = {
            "name": "x",
            "method": "lora",
            "licence": "MIT",
            "template": "own",
            "template_hash": "0",
            "context_length": 64,
            "dtype": "float32",
            "parameters": 1,
            "created": 0,
            "own_template": own,
        }
        (folder / "kodolly.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


def test_what_was_trained_is_served_and_what_was_chosen_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "worker.parsers")
    directory = checkpoint(tmp_path, THINKING, template_kwargs={"enable_thinking": False})
    assert parser_flags(directory, []) == [
        *("--default-chat-template-kwargs", '{"enable_thinking": false}'),
        *("--tool-call-parser", "hermes", "--reasoning-parser", "qwen3", "--enable-auto-tool-choice"),
    ]
    assert "--tool-call-parser hermes" in caplog.text


def test_an_explicit_flag_wins(tmp_path: Path) -> None:
    directory = checkpoint(tmp_path, THINKING)
    assert parser_flags(directory, ["--tool-call-parser=llama3_json"]) == ["--reasoning-parser", "qwen3"]
    assert parser_flags(directory, ["--reasoning-parser", "deepseek_r1", "--enable-auto-tool-choice"]) == [
        *("--tool-call-parser", "hermes")
    ]
    assert parser_flags(directory, ["--config", "vllm.yaml"]) == []
    other = tmp_path / "other.jinja"
    other.write_text(PLAIN, encoding="utf-8")
    assert parser_flags(directory, ["--chat-template", str(other)]) == []


def test_a_checkpoint_without_a_template_or_with_a_broken_one_is_left_alone(tmp_path: Path) -> None:
    assert parser_flags(tmp_path, []) == []
    assert parser_flags(checkpoint(tmp_path, "{% if %}"), []) == []


@pytest.mark.parametrize("vocab", [{"a": 0}, [["a", -1.0]]], ids=["BPE", "Unigram"])
@pytest.mark.parametrize(
    ("name", "flag", "tokens"),
    [
        ("Llama's", "--tool-call-parser", ["<|python_tag|>"]),
        ("Mistral's", "--tool-call-parser", ["[TOOL_CALLS]"]),
        ("always thinks", "--reasoning-parser", ["<think>", "</think>"]),
    ],
)
def test_a_parser_that_stops_the_engine_for_want_of_its_tokens_is_not_set(
    name: str, flag: str, tokens: list[str], vocab: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = checkpoint(tmp_path, KNOWN[name][0])
    assert flag in parser_flags(directory, [])
    for added in ([], tokens[:-1], tokens):
        told = {"added_tokens": [{"content": token} for token in added], "model": {"vocab": vocab}}
        (directory / "tokenizer.json").write_text(json.dumps(told), encoding="utf-8")
        caplog.clear()
        assert (flag in parser_flags(directory, [])) is (added == tokens)
        assert (f"no token {tokens[len(added)]}" in caplog.text) if added != tokens else not caplog.records
