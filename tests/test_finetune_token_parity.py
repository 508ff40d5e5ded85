"""What training fed the model up to an answer is what vLLM makes of the same messages, token for token."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPTNeoXConfig, LlamaConfig

from common.chat_template import load_template, template_names
from finetune.encoding.encode import encode_row
from finetune.rows.row import Row, RowTurn, to_messages
from tests.support.forked_vllm import ask, served
from tests.support.random_models import random_model
from tests.support.tiny_families import TEXTS, tokenizer_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

QUESTION = "고구마는 언제 심나요?"
ANSWER = '"오월"에 심습니다.\n늦어도 유월까지는 마치세요.'
HISTORY = (
    RowTurn(role="user", content="안녕하세요?  두 칸을 띄었어요."),
    RowTurn(role="assistant", content="반갑습니다! 무엇을 도와드릴까요? 🌱"),
)
SYSTEM = RowTurn(role="system", content="농부처럼 짧게 답하세요.")
ROWS = {
    "question": Row(instruction=QUESTION, response=ANSWER, category="open_qa"),
    "context": Row(
        instruction=QUESTION,
        context="고구마는 늦봄에 심는다.\n\n감자는 이른 봄에 심는다.",
        response=ANSWER,
        category="closed_qa",
    ),
    "history": Row(instruction=QUESTION, response=ANSWER, category="open_qa", history=HISTORY),
    "system": Row(instruction=QUESTION, response=ANSWER, category="open_qa", history=(SYSTEM, *HISTORY)),
}
CONFIGS: dict[str, Any] = {"byte-level": GPTNeoXConfig, "llama": LlamaConfig}


@pytest.fixture(scope="module", params=list(CONFIGS))
def served_tokenizer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Any, str]]:
    """(tokenizer, URL of a vLLM server with it); the model's weights play no part."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    tokenizer = tokenizer_of(request.param, [*TEXTS, QUESTION, ANSWER, SYSTEM.content])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = load_template("dolly")
    tokenizer.save_pretrained(folder)
    config = CONFIGS[request.param](
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=2048,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(1)
    random_model(config).save_pretrained(folder)
    flags = ("--trust-request-chat-template", "--max-model-len", "2048")
    with served(folder, folder / "vllm.log", flags) as url:
        yield tokenizer, url


@pytest.mark.parametrize("name", template_names())
def test_training_and_serving_see_the_same_tokens(served_tokenizer: tuple[Any, str], name: str) -> None:
    tokenizer, url = served_tokenizer
    template = load_template(name)
    end_token = tokenizer.eos_token
    tokenizer.chat_template = template
    # Training refuses a format that ends answers with another token than the tokenizer's end token.
    tokenizer.eos_token = "<|im_end|>" if name == "chatml" else end_token
    try:
        for kind, row in ROWS.items():
            example = encode_row(tokenizer, row)
            seen = ask(
                url,
                to_messages(row)[:-1],
                chat_template=template,
                # A merged checkpoint's tokenizer has the end token that training had.
                chat_template_kwargs={"eos_token": tokenizer.eos_token},
                max_tokens=1,
                return_token_ids=True,
            )
            assert seen["prompt_token_ids"] == example.input_ids[: example.prompt_tokens], kind
    finally:
        tokenizer.eos_token = end_token


def test_the_checkpoints_own_template_is_the_one_that_is_used(served_tokenizer: tuple[Any, str]) -> None:
    tokenizer, url = served_tokenizer
    tokenizer.chat_template = load_template("dolly")
    example = encode_row(tokenizer, ROWS["context"])
    seen = ask(url, to_messages(ROWS["context"])[:-1], max_tokens=1, return_token_ids=True)
    assert seen["prompt_token_ids"] == example.input_ids[: example.prompt_tokens]
    assert seen["usage"]["prompt_tokens"] == example.prompt_tokens
