"""W26: embeddings, and the other answers that are numbers.

Source: OpenAI's embeddings API (https://platform.openai.com/docs/api-reference/embeddings); score, rerank,
pooling and classify as vLLM has them.
"""

import base64
import math
import struct
from typing import Any

import openai
import pytest

from tests.support.conformance.endpoint import Endpoint, error_of

TEXTS = ["안녕하세요", "세상", "good morning"]


def embed(endpoint: Endpoint, **fields: Any) -> dict[str, Any]:
    """The body of an embeddings request."""
    endpoint.need("embeddings")
    return {"model": endpoint.model_embed, "input": TEXTS} | fields


def test_w26_base64_and_floats_are_the_same_numbers(endpoint: Endpoint) -> None:
    """W26: `encoding_format: base64` is little-endian float32; the client asks for it by default."""
    floats = endpoint.send("/v1/embeddings", embed(endpoint, encoding_format="float")).json()["data"]
    packed = endpoint.send("/v1/embeddings", embed(endpoint, encoding_format="base64")).json()["data"]
    for plain, encoded in zip(floats, packed, strict=True):
        raw = base64.b64decode(encoded["embedding"])
        numbers = struct.unpack(f"<{len(raw) // 4}f", raw)
        assert len(numbers) == len(plain["embedding"])
        pairs = zip(numbers, plain["embedding"], strict=True)
        assert all(math.isclose(a, b, rel_tol=1e-2, abs_tol=1e-3) for a, b in pairs)


def test_w26_the_official_client_reads_them(endpoint: Endpoint, client: openai.OpenAI) -> None:
    """W26: through the official client with its defaults."""
    answer = client.embeddings.create(**embed(endpoint))
    assert answer.object == "list"
    assert all(isinstance(number, float) for number in answer.data[0].embedding)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0


def test_w26_a_batch_keeps_its_order(endpoint: Endpoint) -> None:
    """W26: one vector a text, numbered and in the order of the input."""
    together = endpoint.send("/v1/embeddings", embed(endpoint)).json()["data"]
    assert [item["index"] for item in together] == [0, 1, 2]
    for index, text in enumerate(TEXTS):
        (alone,) = endpoint.send("/v1/embeddings", embed(endpoint, input=text)).json()["data"]
        pairs = zip(alone["embedding"], together[index]["embedding"], strict=True)
        assert all(math.isclose(a, b, rel_tol=0.05, abs_tol=0.02) for a, b in pairs)


def test_w26_tokens_are_an_input_too(endpoint: Endpoint) -> None:
    """W26: token lists, as clients that split texts themselves send them."""
    answer = endpoint.send("/v1/embeddings", embed(endpoint, input=[[5, 6, 7], [8, 9]]))
    assert answer.status_code == 200
    assert len(answer.json()["data"]) == 2


def test_w26_dimensions_shorten_the_vector(endpoint: Endpoint) -> None:
    """W26: `dimensions`, where the model was trained for it."""
    endpoint.need("dimensions")
    (item,) = endpoint.send("/v1/embeddings", embed(endpoint, input="안녕", dimensions=8)).json()["data"]
    assert len(item["embedding"]) == 8


def test_w26_dimensions_that_cannot_be_had_are_refused(endpoint: Endpoint) -> None:
    """W26: 400 with the reason where the model cannot."""
    if "dimensions" not in endpoint.lacks or "embeddings" in endpoint.lacks:
        pytest.skip("not applicable: this model can")
    answer = endpoint.send("/v1/embeddings", embed(endpoint, dimensions=8))
    assert answer.status_code == 400
    error_of(answer)


def test_w26_a_chat_model_says_that_it_cannot(endpoint: Endpoint) -> None:
    """W26: embeddings of a model without them are refused with OpenAI's error object."""
    if endpoint.model_embed in (None, endpoint.model):
        pytest.skip("not applicable: no model is known to be without embeddings")
    answer = endpoint.send("/v1/embeddings", {"model": endpoint.model, "input": "안녕"})
    assert answer.status_code in (400, 404)
    error_of(answer)


@pytest.mark.parametrize("path", ["/v1/score", "/score"])
def test_w26_score_compares_one_text_with_many(endpoint: Endpoint, path: str) -> None:
    """W26: a score a pair, the same text closest."""
    endpoint.need("score")
    body = {"model": endpoint.model_embed, "text_1": "안녕하세요", "text_2": TEXTS}
    scores = [item["score"] for item in endpoint.send(path, body).json()["data"]]
    assert len(scores) == 3
    assert max(scores) == scores[0]


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_w26_rerank_puts_the_closest_first(endpoint: Endpoint, path: str) -> None:
    """W26: results sorted by relevance, with the index of their document, `top_n` of them."""
    endpoint.need("rerank")
    body = {"model": endpoint.model_embed, "query": "세상", "documents": TEXTS, "top_n": 2}
    results = endpoint.send(path, body).json()["results"]
    assert results[0]["index"] == 1
    assert len(results) == 2
    assert results[0]["relevance_score"] >= results[1]["relevance_score"]


def test_w26_pooling_gives_the_vector(endpoint: Endpoint) -> None:
    """W26: vLLM's /pooling."""
    endpoint.need("pooling")
    answer = endpoint.send("/pooling", {"model": endpoint.model_embed, "input": "안녕"})
    assert answer.status_code == 200
    assert answer.json()["data"][0]["data"]


def test_w26_classify_gives_a_label(endpoint: Endpoint) -> None:
    """W26: vLLM's /classify."""
    endpoint.need("classify")
    answer = endpoint.send("/classify", {"model": endpoint.model_embed, "input": "안녕"})
    assert answer.status_code == 200
    assert answer.json()["data"][0]["probs"]


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_w26_tokens_and_text_are_each_others_inverse(endpoint: Endpoint, prefix: str) -> None:
    """W26: vLLM's /tokenize and /detokenize."""
    endpoint.need("tokenize")
    asked = {"model": endpoint.model, "prompt": "안녕하세요", "add_special_tokens": False}
    tokens = endpoint.send(f"{prefix}/tokenize", asked).json()["tokens"]
    answer = endpoint.send(f"{prefix}/detokenize", {"model": endpoint.model, "tokens": tokens})
    assert answer.json()["prompt"] == "안녕하세요"


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # the client's word on translations
@pytest.mark.parametrize("task", ["transcriptions", "translations"])
def test_w26_audio_is_sent_as_a_form(endpoint: Endpoint, client: openai.OpenAI, task: str) -> None:
    """W26: a form with a file reaches the engine whole, the model being one of its fields."""
    endpoint.need("audio")
    sound = b"RIFF" + bytes(range(256)) * 200
    audio = getattr(client.audio, task)
    answer = audio.create(model=endpoint.model, file=("말.wav", sound, "audio/wav"))
    assert answer.text
    if endpoint.engines:
        assert sound in endpoint.received().body


def test_w26_audio_for_an_unknown_model_is_404(endpoint: Endpoint, client: openai.OpenAI) -> None:
    """W26, W14: the model of a form is checked like that of a JSON body."""
    endpoint.need("audio")
    with pytest.raises(openai.NotFoundError) as missing:
        client.audio.transcriptions.create(model="no-such-model", file=("a.wav", b"RIFF", "audio/wav"))
    assert missing.value.code == "model_not_found"
