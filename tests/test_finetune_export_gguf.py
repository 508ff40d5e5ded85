"""`kodolly export gguf`: llama.cpp makes the same tokens of Korean texts, and the same answers."""

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from click.testing import CliRunner
from tokenizers import Regex, decoders, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

from common.chat_template import template_hash
from common.checkpoint import CheckpointCard, OwnTemplateCard, read_card
from common.checkpoint_identity import checkpoint_id
from common.errors import UserError
from finetune.export import gguf_file, llama_proof
from finetune.export.gguf_file import export_gguf
from finetune.export.gguf_vocabulary import DIVISIONS
from finetune.export.llama_answers import TOKENS
from finetune.models.checkpoint import write_card
from finetune.progress import silent
from kodolly.cli import root
from tests.support.demo_stack import STATE
from tests.support.llama_cpp import greedy, llama_server, post, tokens_of
from tests.support.own_models import (
    CHATML,
    HEADERS,
    INST,
    ROLES,
    SHAPE,
    TURNS,
    OwnModel,
    make_own_model,
    weather_rows,
)

pytestmark = pytest.mark.slow

TEXT = (
    "안녕하세요? 서울은 맑음,  부산은 비. 3.5도 12345 (괄호) 값=1,000원 Hello's world\n\n새 줄\t탭 😀 ㅋㅋ\n"
)
QUESTION = [{"role": "user", "content": "서울 날씨?"}]
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}
GEMMA3 = {**SHAPE, "num_hidden_layers": 7, "query_pre_attn_scalar": 64, "sliding_window": 16}


def model(name: str, template: Any, **more: Any) -> OwnModel:
    return OwnModel(
        name, "", template, lambda size: getattr(transformers, name)(vocab_size=size, **SHAPE | more)
    )


MODELS = (
    model("LlamaConfig", HEADERS, rope_parameters=LLAMA3),
    model("LlamaConfig", TURNS, tie_word_embeddings=True, attention_bias=True),
    model("MistralConfig", INST),
    model("Qwen2Config", ROLES),
    model("Qwen3Config", CHATML),
    model("Gemma3TextConfig", TURNS, **GEMMA3),
    model("GPTNeoXConfig", CHATML, num_key_value_heads=2),
)


def make_checkpoint(made: OwnModel, folder: Path, architecture: str | None = None) -> Path:
    """Random weights with a card."""
    base = make_own_model(made, folder, weather_rows(made.template), architecture)
    add_card(base)
    return base


def add_card(directory: Path, **values: Any) -> None:
    template = AutoTokenizer.from_pretrained(directory).chat_template
    card = CheckpointCard(
        name="tiny",
        method="full",
        licence="Apache-2.0",
        template="own",
        template_hash=template_hash(template),
        context_length=512,
        dtype="float32",
        parameters=1,
        created=1,
        **values,
    )
    write_card(directory, card)


def continued(directory: Path, prompt: list[int], count: int = 24) -> list[int]:
    """What Transformers finds likeliest."""
    made = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(count):
            ids.append(int(made(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


def assert_same_model(checkpoint: Path, file: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    prompt = tokenizer.apply_chat_template(QUESTION, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    with llama_server(file) as url:
        assert tokens_of(url, TEXT) == tokenizer(TEXT, add_special_tokens=False)["input_ids"]
        assert greedy(url, ids, 24) == continued(checkpoint, ids)
        asked = {"messages": QUESTION, "max_tokens": 1}
        assert post(url, "/v1/chat/completions", asked)["usage"]["prompt_tokens"] == len(ids)


@pytest.mark.parametrize("made", MODELS, ids=lambda made: f"{made.name}, {made.template.name}")
def test_llama_cpp_answers_token_for_token(made: OwnModel, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(made, tmp_path)
    export_gguf(checkpoint, tmp_path / "out", silent)
    assert_same_model(checkpoint, tmp_path / "out" / "model.gguf")


def test_the_text_part_of_a_model_that_reads_images(tmp_path: Path) -> None:
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    made = OwnModel(
        "gemma3",
        "",
        TURNS,
        lambda size: transformers.Gemma3Config(
            text_config={**GEMMA3, "vocab_size": size},
            vision_config={**vision, "image_size": 28, "patch_size": 14},
            mm_tokens_per_image=4,
        ),
    )
    checkpoint = make_checkpoint(made, tmp_path, "Gemma3ForConditionalGeneration")
    export_gguf(checkpoint, tmp_path / "out", silent)
    assert_same_model(checkpoint, tmp_path / "out" / "model.gguf")


@pytest.mark.parametrize("regex", DIVISIONS, ids=DIVISIONS.values())
def test_published_divisions_of_texts_are_known_by_their_rule(regex: str, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(model("Qwen3Config", CHATML), tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    backend = tokenizer.backend_tokenizer
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(regex), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.model.ignore_merges = DIVISIONS[regex] == "llama-bpe"
    tokenizer.save_pretrained(checkpoint)
    export_gguf(checkpoint, tmp_path / "out", silent)
    assert_same_model(checkpoint, tmp_path / "out" / "model.gguf")


def test_the_demo_answers_in_llama_cpp_and_stops(tmp_path: Path) -> None:
    checkpoint = (STATE / "demo" / "demo-dolly").resolve()
    out = tmp_path / "gguf"
    ran = CliRunner().invoke(root, ["export", "gguf", str(checkpoint), str(out)])
    assert ran.exit_code == 0, (ran.output, ran.exception)
    with llama_server(out / "model.gguf") as url:
        asked = {"messages": [{"role": "user", "content": "토큰이 무엇인가요?"}], "temperature": 0}
        choice = post(url, "/v1/chat/completions", {**asked, "max_tokens": 200})["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"].startswith("토큰은 언어 모델이")
    card = read_card(out)
    assert card is not None
    assert card.export is not None
    assert (card.export.format, card.export.checkpoint) == ("gguf", checkpoint_id(checkpoint))
    assert card.metrics["export_tokens"] == llama_proof.ASKED * TOKENS
    assert card.metrics["export_argmax_agreement"] > 0.9
    assert sorted(path.name for path in out.iterdir()) == [
        "Modelfile",
        "chat_template.jinja",
        "kodolly.json",
        "model.gguf",
    ]


def test_a_file_that_llama_cpp_answers_otherwise_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = (STATE / "demo" / "demo-dolly").resolve()
    monkeypatch.setattr(llama_proof, "_answered", lambda _file, prompts: [[300] * TOKENS for _ in prompts])
    with pytest.raises(UserError, match="The result is not the model it was made from"):
        export_gguf(checkpoint, tmp_path / "out", silent, llama_cpp=True)
    assert not (tmp_path / "out").exists()


def test_weights_of_8_bits_are_half_the_file(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(model("Qwen3Config", CHATML), tmp_path)
    sizes = {}
    for dtype in ("float32", "bfloat16", "q8_0"):
        export_gguf(checkpoint, tmp_path / dtype, silent, dtype)
        sizes[dtype] = (tmp_path / dtype / "model.gguf").stat().st_size
    assert sizes["q8_0"] < 0.62 * sizes["bfloat16"] < 0.62 * 0.62 * sizes["float32"]
    with llama_server(tmp_path / "q8_0" / "model.gguf") as url:
        ids = AutoTokenizer.from_pretrained(checkpoint)("서울", add_special_tokens=False)["input_ids"]
        assert greedy(url, ids, 3) == continued(checkpoint, ids, 3)


def test_the_switch_against_thoughts_goes_along(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(model("Qwen3Config", CHATML), tmp_path)
    template = "{% if enable_thinking is defined and not enable_thinking %}{{ '<kurz>' }}{% endif %}"
    (checkpoint / "chat_template.jinja").write_text(
        template + (checkpoint / "chat_template.jinja").read_text(encoding="utf-8"), encoding="utf-8"
    )
    own = OwnTemplateCard(template_kwargs={"enable_thinking": False}, stop_tokens=list(CHATML.stops))
    add_card(checkpoint, own_template=own)
    export_gguf(checkpoint, tmp_path / "out", silent)
    modelfile = (tmp_path / "out" / "Modelfile").read_text(encoding="utf-8")
    with llama_server(tmp_path / "out" / "model.gguf") as url:
        assert post(url, "/apply-template", {"messages": QUESTION})["prompt"].startswith("<kurz>")
    assert '"""{{ if .System }}<kurz><|im_start|>system\n' in modelfile
    assert [line for line in modelfile.splitlines() if line.startswith("PARAMETER")] == [
        'PARAMETER stop """<|im_end|>"""',
        'PARAMETER stop """<|endoftext|>"""',
    ]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(model("Qwen3Config", CHATML), tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize(
    ("file", "key", "value", "said"),
    [
        ("config.json", "model_type", "olmo3", "A GGUF file of olmo3 is not written"),
        ("config.json", "hidden_act", "relu", "does not compute qwen3 with hidden_act 'relu'"),
        ("config.json", "quantization_config", {"quant_method": "fp8"}, "is quantised already"),
        (
            "config.json",
            "rope_parameters",
            {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4},
            "positions of type 'dynamic'",
        ),
        ("tokenizer.json", "normalizer", {"type": "Lowercase"}, "it changes texts"),
        ("tokenizer.json", "pre_tokenizer", {"type": "WhitespaceSplit"}, "no division of texts"),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_refused(
    tiny: Path, tmp_path: Path, file: str, key: str, value: object, said: str
) -> None:
    shutil.copytree(tiny, tmp_path / "changed")
    path = tmp_path / "changed" / file
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**values, key: value}, ensure_ascii=False), encoding="utf-8")
    with pytest.raises(UserError, match=said):
        export_gguf(tmp_path / "changed", tmp_path / "out", silent)
    assert not (tmp_path / "out").exists()


def test_a_file_that_was_not_finished_is_not_there(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_stored: object) -> torch.Tensor:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(gguf_file, "read_tensor", full)
    with pytest.raises(UserError, match="No space left"):
        export_gguf(tiny, tmp_path / "out", silent)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_others_is_refused(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "foreign")
    (tmp_path / "foreign" / "kodolly.json").unlink()
    with pytest.raises(UserError, match="is not a checkpoint of kodolly"):
        export_gguf(tmp_path / "foreign", tmp_path / "out", silent)
