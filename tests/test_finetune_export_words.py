"""Exported texts: a Modelfile says what the chat template says, tokenizers go along whole or not at all."""

import json
import re
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter
from tokenizers import AddedToken

from common.checkpoint import CheckpointCard
from common.errors import UserError
from finetune.export.files import write_files
from finetune.export.gguf_file import _numbers
from finetune.export.gguf_vocabulary import write_vocabulary
from finetune.export.likeness import answer_probes
from finetune.export.ollama import NoModelfile, modelfile
from finetune.export.source import ExportSource, require_numbers
from tests.support.own_templates import PLAIN, tokenizer_for

pytestmark = pytest.mark.slow

END = "<|im_end|>"


def source_of(template: str, *stops: str, licence: str = "Apache-2.0") -> ExportSource:
    tokenizer = tokenizer_for(template, stops or (END,))
    card = CheckpointCard(
        name="tiny",
        method="full",
        licence=licence,
        template="own",
        template_hash="0" * 64,
        context_length=512,
        dtype="float32",
        parameters=1,
        created=1,
    )
    return ExportSource(Path("tiny"), cast(Any, None), card, tokenizer)


def values_of(text: str) -> dict[str, list[str]]:
    """What Ollama reads in a Modelfile: what stands between quotes, word for word, as it knows no escapes."""
    found: dict[str, list[str]] = {}
    for name, whole, line in re.findall(r'^([A-Z]+(?: stop)?) (?:"""(.*?)"""|([^\n]*))$', text, re.M | re.S):
        found.setdefault(name, []).append(whole or line.strip('"'))
    return found


@pytest.mark.parametrize("stop", ['<|"|>', "<\\n>", END])
def test_a_stop_stands_as_it_is(stop: str) -> None:
    read = values_of(modelfile(source_of(PLAIN, stop), "model.gguf"))
    assert (read["PARAMETER stop"], read["LICENSE"]) == ([stop], ["Apache-2.0"])


def test_a_brace_before_a_message_is_none_of_go() -> None:
    braces = PLAIN.replace("m.role + '\n'", "m.role + '\n{'")
    assert braces != PLAIN
    (template,) = values_of(modelfile(source_of(braces), "model.gguf"))["TEMPLATE"]
    assert "{{{" not in template
    quoted = [json.loads(text) for text in re.findall(r'\{\{ ("(?:[^"\\]|\\.)*") \}\}', template)]
    assert f"{END}\n<|im_start|>assistant\n{{" in quoted


@pytest.mark.parametrize(
    ("template", "licence", "said"),
    [
        (PLAIN, 'Mine"""\nFROM elsewhere\nLICENSE """', 'holds """'),
        (PLAIN.replace("m.role + '\n'", "m.role + '\u3000'"), "MIT", r"loses the character U\+3000"),
    ],
)
def test_what_a_modelfile_cannot_hold_is_not_written(template: str, licence: str, said: str) -> None:
    with pytest.raises(NoModelfile, match=said):
        modelfile(source_of(template, licence=licence), "model.gguf")


def test_files_go_along_and_folders_that_are_named_like_them_do_not(tmp_path: Path) -> None:
    (tmp_path / "from" / "tokenizer_old").mkdir(parents=True)
    (tmp_path / "from" / "special_tokens_map.json").symlink_to("nowhere")
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / "from" / name).write_text("{}", encoding="utf-8")
    (tmp_path / "to").mkdir()
    write_files(tmp_path / "to", tmp_path / "from", {"quant_method": "x"})
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == ["config.json", "tokenizer.json"]


def test_tokens_without_a_row_are_refused(tmp_path: Path) -> None:
    tokenizer = source_of(PLAIN).tokenizer
    writer = GGUFWriter(tmp_path / "x", "llama")
    write_vocabulary(tokenizer, len(tokenizer) + 3, writer)
    with pytest.raises(UserError, match="for which the model of"):
        write_vocabulary(tokenizer, len(tokenizer) - 1, writer)


@pytest.mark.parametrize("way", ["lstrip", "rstrip", "single_word"])
def test_tokens_that_llama_cpp_would_find_elsewhere_are_refused(way: str, tmp_path: Path) -> None:
    tokenizer = source_of(PLAIN).tokenizer
    added = AddedToken("<mask>", special=True, **{way: True})
    tokenizer.backend_tokenizer.add_special_tokens([added])
    with pytest.raises(UserError, match="its <mask> takes spaces"):
        write_vocabulary(tokenizer, len(tokenizer), GGUFWriter(tmp_path / "x", "llama"))


def test_numbers_that_a_format_does_not_hold_are_refused() -> None:
    wide = torch.tensor([[1.0, 70_000.0]], dtype=torch.bfloat16)
    assert _numbers("w", wide, GGMLQuantizationType.BF16).shape == (1, 2)
    with pytest.raises(UserError, match="w has numbers that are not finite"):
        _numbers("w", wide, GGMLQuantizationType.F16)
    with pytest.raises(UserError, match="w has numbers that are not finite"):
        require_numbers("w", torch.tensor([1.0, float("nan")]))


def test_a_long_text_of_the_template_leaves_something_to_compare() -> None:
    preamble = "{{ '" + "안내. " * 900 + "' }}"
    source = source_of(preamble + PLAIN)
    assert len(answer_probes(source.tokenizer, source.stops[0])) > 4
