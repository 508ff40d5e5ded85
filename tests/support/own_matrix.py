"""Today's architectures in their own chat template, from rows to vLLM's answers; table in docs/models.md.

`python -m tests.support.own_matrix` runs all of it and writes the table, or only the lines of the
architectures it is given (`Qwen3`); tests/test_finetune_own_models.py runs it again and holds the table to
what came out.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2

from common.openmp import let_waiting_threads_sleep
from tests.support.family_matrix import PAGE
from tests.support.forked_vllm import ask, served
from tests.support.generated_table import write_line
from tests.support.tool_rows import TOOL
from worker.parsers import parser_flags

if TYPE_CHECKING:  # a forked server imports the main module again, which must not be the training libraries
    from finetune.encoding.encode import Example
    from tests.support.own_models import OwnModel, OwnTemplate

BEGIN, END = "<!-- own matrix: written by python -m tests.support.own_matrix -->", "<!-- /own matrix -->"
HEAD = ("Architecture", "Published models", "Template", "Prompts", "Thoughts", "Tool calls", "Answers")
NONE = "–"


def run_own_model(model: "OwnModel", folder: Path) -> str:
    """Train by LoRA, merge, serve with the worker's flags; the table's line. AssertionError if one fails."""
    from tests.support.own_models import train_own_model

    checkpoint = train_own_model(model, folder)
    with served(checkpoint, folder / "vllm.log", ("--enable-scale-out",)) as url:  # opens its renderer
        if model.chats:
            assert _compared(url, checkpoint, model.template) >= 4
            check_answers(url, model.template)
        else:
            check_completions(url, checkpoint, model.template)
    prompts = "same tokens" if model.chats else "training's"
    cells = (model.name, model.published, model.template.name, prompts, *_parsers(checkpoint), "served")
    return f"| {' | '.join(cells)} |"


def _parsers(checkpoint: Path) -> list[str]:
    """The parsers of thoughts and of calls that the worker starts vLLM with; NONE where it has none."""
    flags = parser_flags(checkpoint, [])
    return [
        f"`{flags[flags.index(flag) + 1]}`" if flag in flags else NONE
        for flag in ("--reasoning-parser", "--tool-call-parser")
    ]


def _compared(url: str, checkpoint: Path, template: "OwnTemplate") -> int:
    """How many prompts vLLM makes to the very tokens on which training learns."""
    from finetune.merge.serving_proof import rendered_prompt

    examples = _encoded(checkpoint, prompt_rows(template))
    with httpx2.Client(base_url=url, trust_env=False) as vllm:
        for example in examples:
            assert example.messages is not None
            made = rendered_prompt(vllm, "tiny", example.messages[:-1], example.tools, example.kwargs)
            assert made == example.input_ids[: example.prompt_tokens]
    return len(examples)


def _encoded(checkpoint: Path, rows: list[dict[str, Any]]) -> "list[Example]":
    """The sequences that training makes of `rows`."""
    from transformers import AutoTokenizer

    from common.checkpoint import read_card
    from finetune.encoding.encode import encode_conversations
    from finetune.encoding.own_settings import OwnSettings, set_own
    from finetune.rows.row import Row

    card = read_card(checkpoint)
    assert card is not None
    assert card.own_template is not None
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    set_own(tokenizer, OwnSettings.of_card(tokenizer, card.own_template))
    made = encode_conversations(tokenizer, [Row.model_validate(values) for values in rows])
    return [example for examples in made for example in examples]


def check_completions(url: str, checkpoint: Path, template: "OwnTemplate") -> None:
    """Behind training's own prompts every answer that was learnt comes out of vLLM, and ends."""
    from tests.support.own_models import weather_rows

    rows = weather_rows(template)
    for row, example in zip(rows, _encoded(checkpoint, rows), strict=True):
        asked = {"model": "tiny", "prompt": example.input_ids[: example.prompt_tokens], "temperature": 0}
        answered = httpx2.post(
            f"{url}/v1/completions", json={**asked, "max_tokens": 40}, timeout=120, trust_env=False
        )
        choice = answered.json()["choices"][0]
        assert (choice["text"], choice["finish_reason"]) == (row["response"], "stop"), choice


def prompt_rows(template: "OwnTemplate") -> list[dict[str, Any]]:
    """Rows with awkward blanks and quotation marks, several turns, and a system message."""
    from tests.support.own_models import SYSTEM, weather_rows

    turns = [
        {"role": "user", "content": ' "하늘"은? '},
        {"role": "assistant", "content": "파랗습니다.\n\n정말로요."},
    ]
    plain = {"context": "", "category": "open_qa", "response": "[[1, 2], [3, 4]]"}
    return [
        *weather_rows(template),
        {**plain, "instruction": "표로?", "history": turns},
        {**plain, "instruction": "짧게?", "history": [SYSTEM, *turns]},
    ]


def check_answers(url: str, template: "OwnTemplate") -> None:
    """Every thought, call and answer that was learnt comes out of vLLM's parsers, and ends."""
    from finetune.merge.serving_proof import as_client_sends
    from finetune.rows.row import Row, to_messages
    from tests.support.own_models import weather_rows

    more = {"tools": [TOOL]} if template.tools else {}
    for row in weather_rows(template):
        messages = to_messages(Row.model_validate(row))
        for place in (2, 4) if template.tools else (2,):
            sent, learnt = as_client_sends(messages[:place]), messages[place]
            choice = ask(url, sent, max_tokens=120, **more)["choices"][0]
            said = choice["message"]
            assert _calls(said) == _calls(learnt), choice
            assert choice["finish_reason"] == ("tool_calls" if _calls(learnt) else "stop"), choice
            assert (said["content"] or "").strip() == (learnt["content"] or ""), choice
            assert (said.get("reasoning") or "").strip() == learnt.get("reasoning_content", ""), choice


def _calls(message: dict[str, Any]) -> list[tuple[str, Any]]:
    functions = [call["function"] for call in message.get("tool_calls") or []]
    return [(each["name"], _parsed(each["arguments"])) for each in functions]


def _parsed(arguments: Any) -> Any:
    return json.loads(arguments) if isinstance(arguments, str) else arguments


def main(names: Sequence[str]) -> None:
    """Run the architectures of `names`, all when there are none, and write their lines; other lines stay."""
    let_waiting_threads_sleep()
    from tests.support.own_models import OWN_MODELS

    with tempfile.TemporaryDirectory() as scratch:
        for model in OWN_MODELS:
            if names and model.name not in names:
                continue
            folder = Path(scratch) / model.name
            folder.mkdir()
            line = run_own_model(model, folder)
            write_line(PAGE, (BEGIN, END), HEAD, line, [f"| {each.name}" for each in OWN_MODELS])
            print(model.name, file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
