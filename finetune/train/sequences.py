"""The sequences of a run: its files are encoded, a share is drawn, and a part is held out for validation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common.checkpoint import DataSource
from common.errors import UserError
from finetune.data.load import load_paragraphs
from finetune.encoding.encode import Example, Learn, encode_conversations
from finetune.encoding.encode_files import encode_source, encode_texts, row_at
from finetune.encoding.token_store import TOO_LONG, WINDOWED, Array, TokenStore
from finetune.files.hashes import file_hash
from finetune.progress import Report, finished
from finetune.recipes.recipe import Recipe
from finetune.recipes.sections import Source
from finetune.rows.fast_row import parse_row
from finetune.train.batches import ChosenSequences

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class TrainingRows:
    """The training and validation sequences of a run, and what became of its rows."""

    train: ChosenSequences
    validation: ChosenSequences | None
    sources: tuple[Source | None, ...]
    """For each store in `train.stores` the file that it was encoded from; None for plain text."""
    validation_sources: tuple[Source | None, ...]
    """The same for `validation.stores`."""
    card: tuple[DataSource, ...]
    rows: int
    """Number of rows drawn from the files (all of them where `share` is 1); a pair is one row."""
    too_long: int
    """Number of drawn rows that were left out as too long."""
    windowed: int
    """Number of drawn rows that were cut to a window."""
    sequences_per_row: int
    """2 where rows are pairs, else 1."""
    learn: Learn
    reasons: bool
    """Whether any row has reasoning."""

    def conversations(self, tokenizer: "PreTrainedTokenizerBase", number: int) -> list[Example]:
        """Up to `number` training sequences with their conversations, evenly spread over the rows."""
        asked = np.array([n for n, source in enumerate(self.sources) if source is not None])
        step = self.sequences_per_row
        members = np.flatnonzero(np.isin(self.train.places[::step, 0], asked)) * step
        examples = []
        for index in members[:: -(-len(members) // number) or 1]:
            store, place = self.train.places[index]
            source = self.sources[store]
            assert source is not None
            row = row_at(source.path, int(self.train.stores[store].places[place]), step == 2)
            ids = self.train.sequence(int(index))[0].tolist()
            # A row that was cut to a window has another conversation than its line in the file, and is
            # skipped.
            made = encode_conversations(tokenizer, [row], self.learn)[0]
            examples += [example for example in made if example.input_ids == ids][:1]
        return examples

    def split(self) -> tuple[int, float]:
        """(number of rows that became several sequences, tokens of all sequences divided by those of each
        row's longest): what it costs that a template rewrites past turns."""
        starts = _row_starts(self.train)
        sizes = np.diff(starts, append=len(self.train)) // self.sequences_per_row
        if not (sizes > 1).any():
            return 0, 1.0
        lengths = self.train.lengths
        longest = np.maximum.reduceat(lengths, starts)
        return int((sizes > 1).sum()), float(lengths.sum() / longest.sum())


def _row_starts(rows: ChosenSequences) -> Array:
    """The indices in `rows` at which the sequences of the next row (or paragraph of text) begin."""
    offsets = np.empty(len(rows), np.int64)
    for number, store in enumerate(rows.stores):
        mine = rows.places[:, 0] == number
        offsets[mine] = store.places[rows.places[mine, 1]]
    return _starts(offsets, rows.places[:, 0])


def _starts(offsets: Array, stores: Array) -> Array:
    """The indices at which the next row begins: sequences of one row are neighbours and share its byte
    offset."""
    changed = (offsets[1:] != offsets[:-1]) | (offsets[1:] < 0) | (stores[1:] != stores[:-1])
    return np.flatnonzero(np.concatenate([np.ones(min(1, len(offsets)), bool), changed]))


def _describe_text(path: Path) -> DataSource:
    return DataSource(path=path.name, sha256=file_hash(path), rows=len(load_paragraphs(path)))


def gather(
    recipe: Recipe, tokenizer: "PreTrainedTokenizerBase", scratch: Path, report: Report
) -> TrainingRows:
    """Encode the files, draw the shares and hold out the validation rows; scratch: directory for token
    stores. Raises UserError when a row is wrong or nothing is left."""
    held_out_file = recipe.validation if isinstance(recipe.validation, Source) else None
    learnt = recipe.learnt
    stores = [encode_source(source, tokenizer, recipe, scratch, report) for source in learnt]
    drawn = [_draw(store, source, recipe) for store, source in zip(stores, learnt, strict=True)]
    card = [_describe(source, one) for source, one in zip(learnt, drawn, strict=True)]
    sources: list[Source | None] = list(learnt)
    text = encode_texts(recipe, tokenizer, scratch)
    if text is not None:
        stores.append(text)
        sources.append(None)
        drawn.append(_Drawn(np.arange(len(text)), text.fates))
        card += [_describe_text(path) for path in recipe.texts]
    train = ChosenSequences(tuple(stores), _places(drawn))
    validation = None
    if held_out_file is not None:
        store = encode_source(held_out_file, tokenizer, recipe, scratch, report)
        validation = ChosenSequences((store,), _places([_draw(store, held_out_file, recipe)]))
    elif isinstance(recipe.validation, float):
        train, validation = _hold_out(train, recipe)
    result = TrainingRows(
        train=train,
        validation=validation,
        sources=tuple(sources),
        validation_sources=(held_out_file,) if held_out_file is not None else tuple(sources),
        card=tuple(card),
        rows=sum(len(one.fates) for one in drawn),
        too_long=sum(one.number(TOO_LONG) for one in drawn),
        windowed=sum(one.number(WINDOWED) for one in drawn),
        sequences_per_row=recipe.sequences_per_row,
        learn=recipe.learn,
        reasons=any(_reasons(source) for source in learnt),
    )
    _refuse(result, recipe)
    report(finished(f"{recipe.name}: data", describe(result, recipe)))
    return result


def describe(rows: TrainingRows, recipe: Recipe) -> str:
    """A line about what became of the rows."""
    dropped = f", {rows.too_long} longer than {recipe.max_length} tokens left out" if rows.too_long else ""
    windowed = f", {rows.windowed} cut to a window around the answer" if rows.windowed else ""
    held_out = f", {len(rows.validation):,} held out" if rows.validation is not None else ""
    return f"{len(rows.train):,} sequences{dropped}{windowed}{held_out}"


def _refuse(rows: TrainingRows, recipe: Recipe) -> None:
    if rows.too_long and recipe.over_length == "error":
        raise UserError(
            f"{rows.too_long} of {rows.rows} rows are longer than max_length={recipe.max_length} tokens.",
            hint="Raise max_length, or set over_length: drop.",
        )
    if not len(rows.train):
        raise UserError(f"Every row is longer than max_length={recipe.max_length} tokens; nothing is left.")
    if rows.validation is not None and not len(rows.validation):
        raise UserError("No row is left for validation.", hint="Hold out more, or raise max_length.")


@dataclass(frozen=True)
class _Drawn:
    """The part of a store that is used."""

    sequences: Array
    fates: Array
    """The fate of each row that was drawn, also of those that are too long."""

    def number(self, fate: int) -> int:
        return int((self.fates == fate).sum())


def _draw(store: TokenStore, source: Source, recipe: Recipe) -> _Drawn:
    """Draw the source's `share` of all rows that were read; the sequences of a row stay together."""
    fits = store.fates != TOO_LONG
    rows = np.arange(len(fits))
    if source.share < 1:
        number = max(1, round(len(rows) * source.share))
        rows = np.sort(np.random.default_rng(recipe.seed).choice(rows, number, replace=False))
    places_in_store = np.cumsum(fits) - 1
    units = places_in_store[rows[fits[rows]]]
    offsets = np.asarray(store.places)
    starts = _starts(offsets, np.zeros(len(offsets), np.int64))
    return _Drawn(_sequences_of(units, starts, len(store)), store.fates[rows])


def _sequences_of(units: Array, starts: Array, total: int) -> Array:
    """The indices of all sequences of the rows `units`: from each row's start to the next row's. total:
    number of sequences in the store."""
    sizes = np.diff(starts, append=total)[units]
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    sequences: Array = np.repeat(starts[units], sizes) + within
    return sequences


def _places(drawn: Sequence[_Drawn]) -> Array:
    taken = [one.sequences for one in drawn]
    return np.concatenate([np.stack([np.full(len(p), n), p], axis=1) for n, p in enumerate(taken)])


def _hold_out(rows: ChosenSequences, recipe: Recipe) -> tuple[ChosenSequences, ChosenSequences]:
    assert isinstance(recipe.validation, float)
    starts = _row_starts(rows)
    units = np.random.default_rng(recipe.seed).permutation(len(starts))
    number = max(1, round(len(units) * recipe.validation))
    if number >= len(units):
        raise UserError("Validation would take every row.", hint="Hold out a smaller part.")
    held_out, kept = np.sort(units[:number]), np.sort(units[number:])
    total = len(rows)
    return (
        rows.select(_sequences_of(kept, starts, total)),
        rows.select(_sequences_of(held_out, starts, total)),
    )


def _reasons(source: Source) -> bool:
    """Whether any row of the file has reasoning."""
    with source.path.open("rb") as file:
        found = (parse_row(line) for line in file if b'"reasoning_content"' in line)
        return any(
            row.reasoning_content or any(turn.reasoning_content for turn in (*row.history, *row.steps))
            for row in found
            if source.split is None or row.meta.get("split") == source.split
        )


def _describe(source: Source, drawn: _Drawn) -> DataSource:
    return DataSource(
        path=source.path.name + (f"#{source.split}" if source.split else ""),
        sha256=file_hash(source.path),
        rows=len(drawn.fates),
    )
