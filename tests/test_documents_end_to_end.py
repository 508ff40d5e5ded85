"""A Korean handbook in three formats, the documents service, the gateway, real vLLM and the official client.

The model is small and has learnt the handbook's answers by heart, from rows made of the handbook as the
service shows it. What is tested stands around it: each question finds its paper, the prompt is the one of the
training (else it would not know its answer), and the answer cites file, page, quote and span.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.documents_on_vllm import bind, documents_on_vllm, filled_store
from tests.support.documents_stack import DocumentsStack
from tests.support.handbook import Handbook, Rule, write_handbook
from tests.support.handbook_model import trained_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
MODEL, NAME = "demo-reader", "demo-reader@handbook"
LEAST_RIGHT = 0.8
"""Of the answers of so small a model. What is cited is true in all of them."""


@pytest.fixture(scope="module")
def handbook(tmp_path_factory: pytest.TempPathFactory) -> Handbook:
    return write_handbook(tmp_path_factory.mktemp("handbook"))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, handbook: Handbook) -> Iterator[DocumentsStack]:
    checkpoint = trained_model(handbook, tmp_path_factory.mktemp("training"))
    with documents_on_vllm(tmp_path_factory.mktemp("stack"), checkpoint, MODEL) as made:
        yield made


@pytest.fixture(scope="module")
def store(stack: DocumentsStack, handbook: Handbook) -> str:
    """The id of a vector store with the handbook, bound to the model."""
    made = filled_store(stack, handbook.files, "handbook")
    bind(stack, MODEL, made, "handbook")
    return made


def ask(stack: DocumentsStack, model: str, question: str) -> Any:
    asked: Any = [{"role": "user", "content": question}]
    answer = stack.client().chat.completions.create(model=model, messages=asked, temperature=0, max_tokens=60)
    return answer.choices[0].message


def test_each_question_finds_its_paper(stack: DocumentsStack, store: str, handbook: Handbook) -> None:
    client = stack.client()
    asked = [(name, rule.question, rule.sentence) for name, rule in handbook.rules]
    asked += [
        ("rules.pdf", f"{years} 근속하면 연차가 며칠인가요?", days) for years, days in handbook.table.items()
    ]
    for name, question, said in asked:
        best = next(iter(client.vector_stores.search(store, query=question)))
        assert (best.filename, said in best.content[0].text) == (name, True), question


def test_each_answer_cites_file_page_quote_and_span(
    stack: DocumentsStack, store: str, handbook: Handbook
) -> None:
    right = [is_right(stack, store, name, rule) for name, rule in handbook.rules]
    print(f"\n{NAME}: {sum(right)} of {len(right)} answers right, with file, page, quote and span")
    assert sum(right) >= LEAST_RIGHT * len(right)


def is_right(stack: DocumentsStack, store: str, name: str, rule: Rule) -> bool:
    """Whether the answer is the rule, cited. What it cites is there in any case."""
    message = ask(stack, NAME, rule.question)
    found = [true_citation(stack, store, one) for one in message.annotations or []]
    said = message.content.partition(" [")[0]
    print(f"{said == rule.sentence} {message.content!r} {found}")
    return said == rule.sentence and (name, rule.sentence) in found


def true_citation(stack: DocumentsStack, store: str, annotation: Any) -> tuple[str, str]:
    """(file, quote) of a citation whose span, on its page, is the quote."""
    passage = annotation.model_extra["passage"]
    cited = annotation.file_citation
    pages = list(stack.client().vector_stores.files.content(cited["file_id"], vector_store_id=store))
    assert passage["page"] == (1 if cited["filename"].endswith(".pdf") else None)
    start, end = passage["span"]
    assert (pages[0].text or "")[start:end] == passage["quote"]
    return cited["filename"], passage["quote"]


def test_a_stream_says_and_cites_the_same(stack: DocumentsStack, store: str, handbook: Handbook) -> None:
    _, rule = handbook.rules[0]
    whole = ask(stack, NAME, rule.question)
    asked: Any = [{"role": "user", "content": rule.question}]
    chunks = stack.client().chat.completions.create(
        model=NAME, messages=asked, temperature=0, max_tokens=60, stream=True
    )
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == whole.content
    streamed = [one for delta in deltas for one in getattr(delta, "annotations", None) or []]
    assert [one["passage"] for one in streamed] == [one.model_extra["passage"] for one in whole.annotations]
    assert streamed


def test_file_search_answers_from_the_same_papers(
    stack: DocumentsStack, store: str, handbook: Handbook
) -> None:
    tools: Any = [{"type": "file_search", "vector_store_ids": [store]}]
    right = 0
    for name, rule in handbook.rules:
        response = stack.client().responses.create(
            model=MODEL, input=rule.question, tools=tools, temperature=0, max_output_tokens=60
        )
        call, message = response.output
        assert (call.type, message.type) == ("file_search_call", "message")
        said: Any = message.to_dict()["content"]
        cited = [(one["filename"], one["passage"]["quote"]) for one in said[0]["annotations"]]
        right += response.output_text.startswith(rule.sentence) and (name, rule.sentence) in cited
    assert right >= LEAST_RIGHT * len(handbook.rules)
