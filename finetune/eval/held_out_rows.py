"""Dolly rows that training has not seen: whether the model gives their answers, and how likely it finds
them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from common.errors import UserError
from common.normal_form import nfc
from finetune.encoding.encode import IGNORED, encode_rows
from finetune.eval.korquad import character_f1
from finetune.eval.models import EvalModel, GeneratedAnswer
from finetune.eval.report import SAMPLES, EvalReport, Sample, Score, hash_texts, now, score, versions
from finetune.rows.row import Row, to_messages

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


MAX_TOKENS = 256


def evaluate_rows(
    model: EvalModel,
    rows: Sequence[Row],
    name: str,
    tokenizer: "PreTrainedTokenizerBase | None" = None,
    max_tokens: int = MAX_TOKENS,
) -> EvalReport:
    """Exact match, character F1 and stop rate of greedy answers; with `tokenizer` (which must have the chat
    template) also the perplexity of the rows' own answers. Raises UserError.

    Exact match compares NFC text in which every run of white space is one space. Perplexity covers the
    answer's tokens and its end token, given the prompt; bits per character can be compared between
    tokenizers, too.
    """
    if beyond := next(filter(None, (row.beyond_text() for row in rows)), None):
        raise UserError(f"The rows hold {beyond}; what is compared here is questions and answers in text.")
    conversations = [to_messages(row)[:-1] for row in rows]
    asked = hash_texts(str(turn["content"]) for row in rows for turn in to_messages(row))
    made = list(model.answers(conversations, max_tokens))
    notes = []
    if too_long := sum(not answer.fits for answer in made):
        notes.append(f"{too_long} questions are longer than the model's context and count as wrong.")
    scores = _scores(name, made, rows, asked)
    if tokenizer is None:
        notes.append("No perplexity: it takes the model's tokenizer and chat template (--tokenizer).")
    else:
        likelihood, left_out = _likelihood(model, rows, name, tokenizer, asked)
        scores += likelihood
        notes += _left_out(left_out)
    return EvalReport(
        kind="rows",
        model=model.name,
        source=model.source,
        scores=scores,
        settings={"max_tokens": max_tokens},
        notes=notes,
        samples=_samples(rows, made),
        created=now(),
        versions=versions(),
    )


def _left_out(rows: int) -> list[str]:
    return [f"{rows} rows are longer than the model's context and are not in the perplexity."] if rows else []


def _scores(name: str, made: Sequence[GeneratedAnswer], rows: Sequence[Row], asked: str) -> list[Score]:
    pairs = [(answer.text, row.response) for answer, row in zip(made, rows, strict=True)]
    exact = [[float(_plain(given) == _plain(right))] for given, right in pairs]
    return [
        score(name, "exact_match", exact, asked),
        score(name, "f1", [[character_f1(given, [right])] for given, right in pairs], asked),
        score(name, "stop_rate", [[float(answer.finished)] for answer in made], asked),
    ]


def _samples(rows: Sequence[Row], made: Sequence[GeneratedAnswer]) -> list[Sample]:
    return [
        Sample(question=row.instruction, wanted=row.response, answer=answer.text)
        for row, answer in zip(rows[:SAMPLES], made, strict=False)
    ]


def _likelihood(
    model: EvalModel, rows: Sequence[Row], name: str, tokenizer: "PreTrainedTokenizerBase", asked: str
) -> tuple[list[Score], int]:
    """(perplexity and bits per character, number of rows that are longer than the model's context)."""
    examples = encode_rows(tokenizer, rows)
    tokens: list[tuple[float, float]] = []
    characters: list[tuple[float, float]] = []
    measured = model.token_logprobs([example.input_ids for example in examples])
    for row, example, logprobs in zip(rows, examples, measured, strict=True):
        if logprobs is None:
            continue
        answer = range(example.prompt_tokens, len(example.input_ids))
        learnt = [n for n in answer if example.labels[n] != IGNORED]
        loss = -sum(logprobs[n - 1] for n in learnt)
        tokens.append((loss, len(learnt)))
        characters.append((loss, len(row.response.strip())))
    if not tokens:
        raise UserError("Every row is longer than the model's context.")
    left_out = len(examples) - len(tokens)
    same = asked if not left_out else f"{asked}-{left_out}"
    return [
        score(name, "perplexity", tokens, same),
        score(name, "bits_per_character", characters, same),
    ], left_out


def _plain(text: str) -> str:
    return " ".join(nfc(text).split())
