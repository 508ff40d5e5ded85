"""The rows of a recipe's files encoded into token stores: on all cores, and a large file only once.

A store's name is a hash of what decides its contents: the file, tokenizer, template and length rules.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError
from finetune.data.load import AnyRow, load_paragraphs, rows_of_file
from finetune.encoding.encode import (
    WINDOW_ATTEMPTS,
    Example,
    Learn,
    encode_conversations,
    encode_pair,
    encode_text,
    fit,
)
from finetune.encoding.own_settings import OwnSettings, own_settings, set_own
from finetune.encoding.token_store import (
    TOO_LONG,
    WHOLE,
    WINDOWED,
    EncodedBlock,
    TokenStore,
    TokenWriter,
    open_store,
    pack_block,
)
from finetune.files.child_process import process_pool
from finetune.files.hashes import file_hash
from finetune.files.whole import whole_directory
from finetune.progress import Progress, Report, finished
from finetune.recipes.recipe import Recipe
from finetune.recipes.sections import Source
from finetune.rows.row import Pair, Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


FORMAT = 4
"""Version of the stores and of the rules in this file and encode.py; raise it when either changes, or a
cached store of the old rules would be trained on."""
CHUNK = 2_000_000
"""Bytes of rows that one process encodes at a time."""
LARGE = 4_000_000
"""Bytes above which a file is encoded by a pool of processes, which takes seconds to start, and cached."""
BATCH = 256
"""Rows that are rendered and tokenised together."""


@dataclass(frozen=True)
class SequenceRules:
    """How rows become sequences."""

    pairs: bool
    split: str | None
    max_length: int
    max_prompt: int | None
    over_length: str
    learn: Learn

    @classmethod
    def of(cls, recipe: Recipe, split: str | None) -> "SequenceRules":
        """The rules that `recipe` states."""
        pairs = recipe.sequences_per_row == 2
        prompt = recipe.max_prompt_length
        return cls(pairs, split, recipe.max_length, prompt, recipe.over_length, recipe.learn)


def tokenizer_hash(tokenizer: "PreTrainedTokenizerBase") -> str:
    """A hash that changes with anything that decides which tokens a conversation becomes."""
    parts = [
        tokenizer.backend_tokenizer.to_str(),
        json.dumps({name: str(token) for name, token in tokenizer.special_tokens_map.items()}),
        tokenizer.chat_template,
        repr(own_settings(tokenizer)),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def cache_directory() -> Path:
    """The directory that keeps stores of large files from run to run; it may be deleted at any time."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "kodolly" / "encoded"


def encode_source(
    source: Source, tokenizer: "PreTrainedTokenizerBase", recipe: Recipe, scratch: Path, report: Report
) -> TokenStore:
    """The store of one file of rows, from the cache or encoded now. Raises UserError naming file and line."""
    rules = SequenceRules.of(recipe, source.split)
    key = _key(file_hash(source.path), rules, tokenizer)
    large = source.path.stat().st_size > LARGE
    directory = (cache_directory() if large else scratch) / key
    if not directory.exists():
        stage = f"{recipe.name}: tokenising {source.path.name}"
        with whole_directory(directory) as part, TokenWriter(part) as writer, ExitStack() as stack:
            done, size = 0, max(1, source.path.stat().st_size)
            for block, read in _blocks(source.path, tokenizer, rules, large, stack):
                writer.add(block)
                done += read
                report(Progress(stage, done / size, f"{writer.rows:,} rows"))
        report(finished(stage))
    store = open_store(directory)
    if not len(store.fates):
        wanted = f" with meta.split {source.split!r}" if source.split else ""
        raise UserError(f"{source.path} holds no rows{wanted}.")
    return store


def encode_texts(recipe: Recipe, tokenizer: "PreTrainedTokenizerBase", scratch: Path) -> TokenStore | None:
    """The store of the recipe's plain text, one sequence per paragraph; None for a recipe without text."""
    if not recipe.texts:
        return None
    key = _key("".join(file_hash(path) for path in recipe.texts), SequenceRules.of(recipe, "text"), tokenizer)
    directory = scratch / key
    if not directory.exists():
        examples = [encode_text(tokenizer, block) for path in recipe.texts for block in load_paragraphs(path)]
        fitting = [(example, -1) for example in examples if len(example.input_ids) <= recipe.max_length]
        fates = [WHOLE if len(example.input_ids) <= recipe.max_length else TOO_LONG for example in examples]
        with whole_directory(directory) as part, TokenWriter(part) as writer:
            writer.add(pack_block(fitting, fates))
    return open_store(directory)


def row_at(path: Path, place: int, pairs: bool) -> Row:
    """The row that starts at byte offset `place`; for a pair, the row with the better answer."""
    if pairs:
        return _answers(next(rows_of_file(path, Pair, place))[0])[0]
    return next(rows_of_file(path, Row, place))[0]


def _key(data: str, rules: SequenceRules, tokenizer: "PreTrainedTokenizerBase") -> str:
    parts = [str(FORMAT), data, repr(rules), tokenizer_hash(tokenizer)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _blocks(
    path: Path, tokenizer: "PreTrainedTokenizerBase", rules: SequenceRules, large: bool, stack: ExitStack
) -> Iterator[tuple[EncodedBlock, int]]:
    """(block, bytes read) for every chunk, in the order of the file."""
    chunks = list(_chunks(path))
    cores = min(len(os.sched_getaffinity(0)), len(chunks))
    if not large or cores < 2:
        results: Iterator[EncodedBlock | UserError] = map(
            partial(_encode_chunk, tokenizer, path, rules), chunks
        )
    else:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        tokenizer.save_pretrained(folder)
        pool = process_pool(cores, _start_worker, folder, tokenizer.chat_template, own_settings(tokenizer))
        stack.callback(pool.shutdown, cancel_futures=True)
        results = _of_all(pool.map(partial(_encode_chunk_there, path, rules), chunks), path)
    for result, (start, end) in zip(results, chunks, strict=True):
        if isinstance(result, UserError):
            raise result
        yield result, end - start


def _of_all(results: Iterator[EncodedBlock | UserError], path: Path) -> Iterator[EncodedBlock | UserError]:
    """Pass the results on. Raises UserError where a process of the pool was killed, by lack of memory,
    say."""
    try:
        yield from results
    except BrokenProcessPool as error:
        raise UserError(
            f"A process that tokenises {path} was ended from outside, perhaps for want of memory.",
            hint="Start the same command again.",
        ) from error


def _chunks(path: Path) -> Iterator[tuple[int, int]]:
    """Byte ranges (start, end) of about CHUNK bytes that hold whole lines."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = 0
        while start < size:
            file.seek(min(size, start + CHUNK))
            file.readline()
            end = min(size, file.tell())
            yield start, end
            start = end


_worker_tokenizer: "PreTrainedTokenizerBase | None" = None
"""The tokenizer of a process of the pool, loaded once when it starts; nothing else sets it."""


def _start_worker(folder: str, template: str, own: OwnSettings | None) -> None:
    global _worker_tokenizer
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # there is a process for each core already
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    tokenizer.chat_template = template
    set_own(tokenizer, own)
    _worker_tokenizer = tokenizer


def _encode_chunk_there(path: Path, rules: SequenceRules, chunk: tuple[int, int]) -> EncodedBlock | UserError:
    assert _worker_tokenizer is not None, "set when the process began"
    return _encode_chunk(_worker_tokenizer, path, rules, chunk)


def _encode_chunk(
    tokenizer: "PreTrainedTokenizerBase", path: Path, rules: SequenceRules, chunk: tuple[int, int]
) -> EncodedBlock | UserError:
    """The chunk's block, or the error of its first bad row. The error is returned, as one that is raised
    would lose its hint on the way to the parent process."""
    fates: list[int] = []
    examples: list[tuple[Example, int]] = []
    try:
        if rules.pairs:
            for pair, place in _in_split(path, Pair, chunk, rules.split):
                examples += [(example, place) for example in _fit_pair(tokenizer, pair, rules, fates)]
        else:
            batch: list[tuple[Row, int]] = []
            for item in _in_split(path, Row, chunk, rules.split):
                batch.append(item)
                if len(batch) == BATCH:
                    examples += _fit_rows(tokenizer, batch, rules, fates)
                    batch = []
            examples += _fit_rows(tokenizer, batch, rules, fates)
    except UserError as error:
        return error
    return pack_block(examples, fates)


def _in_split(
    path: Path, kind: type[AnyRow], chunk: tuple[int, int], split: str | None
) -> Iterator[tuple[AnyRow, int]]:
    """(row, byte offset) for the chunk's rows in `split`. Raises UserError with the line's number."""
    for row, place in rows_of_file(path, kind, *chunk):
        if split is None or row.meta.get("split") == split:
            yield row, place


def _fit_rows(
    tokenizer: "PreTrainedTokenizerBase",
    batch: Sequence[tuple[Row, int]],
    rules: SequenceRules,
    fates: list[int],
) -> list[tuple[Example, int]]:
    """(sequence, byte offset of its row) for the rows that fit; appends each row's fate to `fates`."""
    if not batch:
        return []
    result = []
    encoded = encode_conversations(tokenizer, [row for row, _ in batch], rules.learn)
    for (row, place), made in zip(batch, encoded, strict=True):
        examples = made
        fate = WHOLE
        if _longest(examples) > rules.max_length:
            examples = _windowed(tokenizer, row, examples, rules)
            fate = WINDOWED if examples else TOO_LONG
        fates.append(fate)
        result += [(example, place) for example in examples]
    return result


def _windowed(
    tokenizer: "PreTrainedTokenizerBase", row: Row, examples: Sequence[Example], rules: SequenceRules
) -> list[Example]:
    """The sequences of the row cut to a window around its answer; none where the rules or the row's length
    forbid that."""
    if rules.over_length != "window":
        return []
    for attempt in range(WINDOW_ATTEMPTS):
        shorter = fit(tokenizer, row, _longest(examples) - rules.max_length + attempt)
        if shorter is None:
            return []
        row = shorter
        examples = encode_conversations(tokenizer, [row], rules.learn)[0]
        if _longest(examples) <= rules.max_length:
            return examples
    return []


def _longest(examples: Sequence[Example]) -> int:
    return max(len(example.input_ids) for example in examples)


def _answers(pair: Pair) -> tuple[Row, Row]:
    def with_answer(answer: str) -> Row:
        return Row(
            instruction=pair.instruction,
            context=pair.context,
            history=pair.history,
            response=answer,
            category=pair.category or "open_qa",
            meta=pair.meta,
            tools=pair.tools,
            steps=pair.steps,
        )

    return with_answer(pair.chosen), with_answer(pair.rejected)


def _fit_pair(
    tokenizer: "PreTrainedTokenizerBase", pair: Pair, rules: SequenceRules, fates: list[int]
) -> list[Example]:
    """A pair's two sequences, with the same prompt; none when it is too long. Appends its fate to `fates`."""
    chosen, rejected = _answers(pair)
    limit = rules.max_prompt or rules.max_length
    for attempt in range(WINDOW_ATTEMPTS):
        both = encode_pair(tokenizer, chosen, rejected)
        longest = max(len(example.input_ids) for example in both)
        excess = max(longest - rules.max_length, both[0].prompt_tokens - limit)
        if excess <= 0:
            fates.append(WINDOWED if attempt else WHOLE)
            return list(both)
        shorter = fit(tokenizer, chosen, excess + attempt) if rules.over_length == "window" else None
        if shorter is None:
            break
        chosen = shorter
        rejected = shorter.model_copy(update={"response": rejected.response})
    fates.append(TOO_LONG)
    return []
