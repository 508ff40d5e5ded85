"""`kodolly train` for method embed: from question-passage pairs to a model of vectors that vLLM serves."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from common.checkpoint import CheckpointCard, EmbeddingCard, read_card
from common.errors import UserError
from finetune.embedding.adapter import add_adapter, trained_weights
from finetune.embedding.pairs import QuestionRows, as_dataset, gather_questions
from finetune.embedding.serving_proof import prove_vectors
from finetune.embedding.vectors import PASSAGE, QUERY, evaluate_vectors, shown, vectors
from finetune.eval.report import EvalReport
from finetune.eval.retrieval import retrieval_set
from finetune.models.checkpoint import size_of, weights_hash, write_card
from finetune.models.embedder import body_config, load_embedder, pooling_of, prompt_of
from finetune.models.memory import MemoryPlan, WeightSizes, passed_widths, plan_vectors
from finetune.models.precision import choose_precision
from finetune.models.quiet import hide_library_bars, quiet_libraries
from finetune.progress import Report
from finetune.recipes.base import base_directory
from finetune.recipes.recipe import EmbeddingTuning, fingerprint
from finetune.train.arguments import arguments, steps_in_run
from finetune.train.distributed import world_size
from finetune.train.loop import LoopResult, drive
from finetune.train.preflight import (
    Fact,
    check_disk,
    check_memory,
    format_facts,
    licence_of,
    refuse_recipe,
)
from finetune.train.prepare import Show
from finetune.train.run import places
from finetune.train.run_state import RunState, logs_directory
from finetune.train.write import LOG_FILE, base_name

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

BESIDE = 2_000
"""Most passages of the training rows that stand beside those held out when the vectors are measured."""
PROVEN = 8
"""Questions, and as many passages, whose vectors are compared with vLLM's."""


def train_embedding(
    recipe: EmbeddingTuning, output: Path, report: Report, *, restart: bool, dry_run: bool, show: Show
) -> None:
    """Train as `recipe` says and write `output`, whole or not at all. Raises UserError.

    A killed run resumes from its last training state, unless `restart` begins anew. `show` gets the
    pre-flight's text, and what was found with the vectors before and after; with `dry_run` the pre-flight is
    all.
    """
    if world_size() > 1:
        raise UserError("Method embed trains on one device.", hint="Start it without torchrun or accelerate.")
    hide_library_bars()
    base = base_directory(recipe)
    refuse_recipe(recipe, base)
    rows = gather_questions(recipe)
    mark = fingerprint(recipe, "")
    with quiet_libraries(), places(output, mark, restart=restart, dry_run=dry_run) as (directory, state):
        model = load_embedder(base)
        _set_prompts(model, recipe)
        adapter = None if recipe.lora is None else add_adapter(model, recipe.lora, recipe.seed)
        show(format_facts(_facts(recipe, rows, model, output, base)))
        if dry_run:
            return
        before = _measured(model, rows, recipe)
        outcome = _trained(model, recipe, rows, output, state, report)
        if adapter is not None:
            adapter.merge_and_unload()
        after = _measured(model, rows, recipe)
        if before is not None and after is not None:
            show(f"  found among {after.settings['passages']:,} passages, before and after:")
            show(shown(before.scores, after.scores))
        _write(directory, model, recipe, base, rows, outcome, _found(before, after), report)
        show(_how_to_serve(output, model, recipe.name))


def _set_prompts(model: "SentenceTransformer", recipe: EmbeddingTuning) -> None:
    """The recipe's prompts, else those that the base has for queries and documents."""
    named = model.prompts
    passage = named.get("document") or named.get("passage") or ""
    asked = recipe.embed
    query = named.get("query") or "" if asked.query_prompt is None else asked.query_prompt
    model.prompts = {QUERY: query, PASSAGE: passage if asked.passage_prompt is None else asked.passage_prompt}


def _facts(
    recipe: EmbeddingTuning, rows: QuestionRows, model: "SentenceTransformer", output: Path, base: Path
) -> list[Fact]:
    """The pre-flight. Raises UserError for what is known not to work."""
    if model.max_seq_length is not None and recipe.max_length > model.max_seq_length:
        raise UserError(
            f"max_length is {recipe.max_length}; the base has {model.max_seq_length} positions.",
            hint=f"Set max_length={model.max_seq_length} or less.",
        )
    texts = [*{text for row in rows.train for text in (row.passage, *row.negatives)}]
    lengths = [len(model.tokenizer(text)["input_ids"]) for text in texts[:BESIDE]]
    cut = sum(length > recipe.max_length for length in lengths) / len(lengths)
    an_epoch, steps = steps_in_run(recipe, len(rows.train))
    most = max(len(row.negatives) for row in rows.train)
    size = _sizes(model)
    longest = min(recipe.max_length, max(lengths))
    prompts = ", ".join(f"{kind} {text!r}" for kind, text in model.prompts.items() if text)
    return [
        Fact("licence", licence_of(recipe, read_card(base))),
        Fact(
            "data", f"{len(rows.train):,} questions, {len(rows.held_out):,} held out, {most} negatives each"
        ),
        Fact(
            "passages",
            f"{len(texts):,}, of {sum(lengths) / len(lengths):.0f} tokens on average",
            f"{cut:.0%} are cut at max_length {recipe.max_length} in training" if cut else "",
        ),
        Fact(
            "vectors", f"{model.get_embedding_dimension()} numbers, pooling {pooling_of(model).pooling_mode}"
        ),
        Fact("prompts", prompts or "none"),
        Fact("steps", f"about {steps:,} of {recipe.batch_size} questions ({an_epoch:,} an epoch)"),
        Fact(
            "adapter", "none: all weights are trained" if recipe.lora is None else f"{size.adapter:,} weights"
        ),
        check_memory(_memory(recipe, size, longest * (2 + most)), 1),
        check_disk(output, size_of(model, recipe.dtype), size.adapter or size.total, recipe),
    ]


def _sizes(model: "SentenceTransformer") -> WeightSizes:
    """Of a model whose adapter, if there is one, is what learns."""
    total = sum(weight.numel() for weight in model.parameters())
    adapter = sum(weight.numel() for weight in trained_weights(model).values())
    config = body_config(model).get_text_config()
    if adapter == total:
        adapter = 0
    passed, normed = passed_widths(model, None, 1)
    return WeightSizes(
        total=total - adapter,
        linear=0,
        adapter=adapter,
        experts=0,
        layers=config.num_hidden_layers,
        passed=passed,
        normed=normed,
        width=config.hidden_size,
        vocabulary=config.vocab_size,
    )


def _memory(recipe: EmbeddingTuning, size: WeightSizes, tokens: int) -> MemoryPlan:
    """tokens: of one question with its passages, at most."""
    return plan_vectors(size, recipe, tokens=tokens, compute_bytes=choose_precision(recipe).compute.itemsize)


def _measured(model: "SentenceTransformer", rows: QuestionRows, recipe: EmbeddingTuning) -> EvalReport | None:
    """What the held-out questions find; None without any."""
    if not rows.held_out:
        return None
    beside = list(dict.fromkeys(row.passage for row in rows.train))[:BESIDE]
    return evaluate_vectors(model, retrieval_set(rows.held_out, beside), "held_out", recipe.name)


def _trained(
    model: "SentenceTransformer",
    recipe: EmbeddingTuning,
    rows: QuestionRows,
    output: Path,
    state: RunState,
    report: Report,
) -> LoopResult:
    """Train, with texts cut at the recipe's max_length; afterwards the model takes as long ones as before."""
    from finetune.embedding.training import embedding_trainer

    train = as_dataset(rows.train, recipe)
    held_out = as_dataset(rows.held_out, recipe) if rows.held_out else None
    precision = choose_precision(recipe)
    values = arguments(recipe, len(rows.train), state, logs_directory(output), precision)
    values.pop("remove_unused_columns")
    whole, model.max_seq_length = model.max_seq_length, recipe.max_length
    body_config(model).use_cache = False
    torch.manual_seed(recipe.seed)
    outcome = drive(embedding_trainer(model, recipe, values, train, held_out, report), state)
    model.max_seq_length = whole
    model.eval()
    return outcome


def _found(before: EvalReport | None, after: EvalReport | None) -> dict[str, float]:
    """The figures of the held-out questions as the card has them."""
    if before is None or after is None:
        return {}
    return {f"base_{one.metric}": one.value for one in before.scores} | {
        one.metric: one.value for one in after.scores
    }


def _write(
    directory: Path,
    model: "SentenceTransformer",
    recipe: EmbeddingTuning,
    base: Path,
    rows: QuestionRows,
    outcome: LoopResult,
    found: dict[str, float],
    report: Report,
) -> None:
    """Fill `directory` with the checkpoint, once vLLM's vectors are those of what was written."""
    _say_positions(model)
    model.to(getattr(torch, recipe.dtype)).save_pretrained(str(directory), create_model_card=False)
    model.to("cpu")
    written = load_embedder(directory)
    few = rows.train[:PROVEN]
    questions, passages = [row.question for row in few], [row.passage for row in few]
    made = torch.tensor(
        [*vectors(written, questions, QUERY).tolist(), *vectors(written, passages, PASSAGE).tolist()]
    ).numpy()
    asked = [prompt_of(written, QUERY) + text for text in questions]
    asked += [prompt_of(written, PASSAGE) + text for text in passages]
    proven = prove_vectors(directory, asked, made, recipe.name, report)
    write_card(directory, _card(written, recipe, base, rows, outcome, found | proven))
    log = json.dumps(outcome.history, indent=1)
    (directory / LOG_FILE).write_text(log + "\n", encoding="utf-8")


def _say_positions(model: "SentenceTransformer") -> None:
    """Put into the configuration of a BERT or RoBERTa what vLLM 0.32 asks for and transformers 5, which knows
    one kind of positions alone, no longer writes."""
    config = body_config(model)
    if config.model_type in ("bert", "roberta", "xlm-roberta", "camembert"):
        config.position_embedding_type = "absolute"


def _card(
    model: "SentenceTransformer",
    recipe: EmbeddingTuning,
    base: Path,
    rows: QuestionRows,
    outcome: LoopResult,
    measured: dict[str, float],
) -> CheckpointCard:
    of_base = read_card(base)
    metrics = {"loss": outcome.loss, "steps": outcome.steps, "train_seconds": round(outcome.seconds, 1)}
    return CheckpointCard(
        name=recipe.name,
        kind="embedding",
        base_model=base_name(recipe, of_base),
        base_revision=weights_hash(base),
        method=recipe.method,
        recipe=recipe.card_dict(),
        data=list(rows.card),
        licence=licence_of(recipe, of_base),
        template="",
        template_hash="",
        embedding=EmbeddingCard(
            query_prompt=prompt_of(model, QUERY),
            passage_prompt=prompt_of(model, PASSAGE),
            pooling=pooling_of(model).pooling_mode,
            dimensions=int(model.get_embedding_dimension() or 0),
        ),
        context_length=int(model.max_seq_length or recipe.max_length),
        dtype=recipe.dtype,
        parameters=sum(weight.numel() for weight in model.parameters()),
        metrics=metrics | measured,
        created=int(time.time()),
    )


def _how_to_serve(output: Path, model: "SentenceTransformer", name: str) -> str:
    """The commands and settings by which the documents service uses the model."""
    lines = [
        f"kodolly worker {output} -- --runner pooling",
        "documents:",
        f"  embedding_model: {name}",
    ]
    for key, kind in (("embedding_query_prefix", QUERY), ("embedding_passage_prefix", PASSAGE)):
        if prompt := prompt_of(model, kind):
            lines.append(f"  {key}: {json.dumps(prompt, ensure_ascii=False)}")
    return "\n".join(f"  {line}" for line in lines)
