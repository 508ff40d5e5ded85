"""Which sequences a training step sees, and in what tensors.

The order is a function of seed, epoch and data alone. So a killed run resumes exactly where it was, and two
processes with half the batch each see in every step what one process would see.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from finetune.encoding.encode import IGNORED
from finetune.encoding.token_store import Array, TokenStore

STEPS_SORTED = 50
"""Sequences are sorted by length within this many steps' worth: similar lengths meet in a batch, and the
order stays random."""


@dataclass(frozen=True)
class ChosenSequences:
    """Sequences that were chosen from several token stores."""

    stores: tuple[TokenStore, ...]
    places: Array
    """Shape (n, 2): for each sequence the index of its store and its index in that store."""

    def __len__(self) -> int:
        return len(self.places)

    @property
    def lengths(self) -> Array:
        """Number of tokens of every sequence."""
        return self._gathered([store.lengths for store in self.stores])

    @property
    def learnt_lengths(self) -> Array:
        """Number of tokens of every sequence that the loss covers."""
        return self._gathered([store.learnt_lengths for store in self.stores])

    def _gathered(self, values: list[Array]) -> Array:
        result = np.empty(len(self), np.int64)
        for number, store_values in enumerate(values):
            mine = self.places[:, 0] == number
            result[mine] = store_values[self.places[mine, 1]]
        return result

    def sequence(self, index: int) -> tuple[Array, Array]:
        """(input ids, labels), both int64."""
        store, place = self.places[index]
        found: TokenStore = self.stores[store]
        return found.sequence(int(place))

    def select(self, chosen: Array) -> "ChosenSequences":
        """The sequences at the indices `chosen`, in that order."""
        return ChosenSequences(self.stores, self.places[chosen])


class Sequences(Dataset[dict[str, Array]]):
    """A data set whose items are single sequences."""

    def __init__(self, rows: ChosenSequences) -> None:
        self.rows = rows
        self.lengths = rows.lengths

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Array]:
        ids, labels = self.rows.sequence(index)
        return {"input_ids": ids, "labels": labels}


class Packed(Dataset[dict[str, Array]]):
    """A data set whose items are several rows, packed into at most `limit` tokens; positions begin anew with
    each row."""

    def __init__(self, rows: ChosenSequences, limit: int) -> None:
        self.rows = rows
        self.bins = pack(rows.lengths, limit)
        self.lengths = np.array([int(rows.lengths[members].sum()) for members in self.bins])

    def __len__(self) -> int:
        return len(self.bins)

    def __getitem__(self, index: int) -> dict[str, Array]:
        parts = [self.rows.sequence(member) for member in self.bins[index]]
        labels = np.concatenate([part[1] for part in parts])
        # Without this the first token of a row would be predicted from the last token of the row before.
        labels[np.cumsum([0] + [len(part[0]) for part in parts[:-1]])] = IGNORED
        return {
            "input_ids": np.concatenate([part[0] for part in parts]),
            "labels": labels,
            "position_ids": np.concatenate([np.arange(len(part[0])) for part in parts]),
        }


class PairData(Dataset[dict[str, list[int]]]):
    """A data set of preference pairs in the columns of TRL's DPOTrainer."""

    def __init__(self, rows: ChosenSequences) -> None:
        self.rows = rows
        self.lengths = rows.lengths.reshape(-1, 2).max(axis=1)

    def __len__(self) -> int:
        return len(self.rows) // 2

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        ids, labels = self.rows.sequence(2 * index)
        other, _ = self.rows.sequence(2 * index + 1)
        prompt = int(np.argmax(labels != IGNORED))
        return {
            "prompt_ids": ids[:prompt].tolist(),
            "chosen_ids": ids[prompt:].tolist(),
            "rejected_ids": other[prompt:].tolist(),
        }


class LabelledData(Dataset[dict[str, object]]):
    """A data set of good and bad answers in the columns of TRL's KTOTrainer, in an order drawn once.

    `KL_completion_ids` is the answer of the row before in the same batch: KTO estimates the divergence from
    the reference on answers to other prompts, which must come from the same batch (TRL does the same).
    """

    def __init__(self, rows: ChosenSequences, labels: Array, batch_size: int, seed: int) -> None:
        order = np.random.default_rng(seed).permutation(len(rows))
        self.rows, self.labels = rows.select(order), labels[order]
        self.lengths = self.rows.lengths
        self.batch_size = batch_size

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, object]:
        prompt, answer = self._parts(index)
        _, other = self._parts(self._neighbour(index))
        return {
            "prompt_ids": prompt,
            "completion_ids": answer,
            "KL_completion_ids": other,
            "label": bool(self.labels[index]),
        }

    def _parts(self, index: int) -> tuple[list[int], list[int]]:
        """(prompt, last answer)."""
        ids, labels = self.rows.sequence(index)
        end = int(np.flatnonzero(labels != IGNORED)[-1]) + 1
        start = int(np.flatnonzero(labels[:end] == IGNORED)[-1]) + 1
        return ids[:start].tolist(), ids[start:end].tolist()

    def _neighbour(self, index: int) -> int:
        first = index - index % self.batch_size
        size = min(self.batch_size, len(self) - first)
        if size == 1:  # alone in the last batch: take the last row of the batch before
            return index - 1 if index else 0
        return first + (index - first - 1) % size


TrainingData = Sequences | Packed | PairData | LabelledData


def pack(lengths: Array, limit: int) -> list[list[int]]:
    """Assign rows, given by their lengths, to bins of at most `limit` tokens by best-fit decreasing; returns
    the rows' indices by bin. That is within a few percent of the optimum, and linear in the rows, as bins are
    looked up by their free room."""
    bins: list[list[int]] = []
    with_room: list[list[int]] = [[] for _ in range(limit + 1)]
    rooms = np.zeros(limit + 2, bool)
    for index in np.argsort(-lengths, kind="stable"):
        need = int(lengths[index])
        free = int(np.argmax(rooms[need : limit + 1])) + need
        if need <= limit and rooms[free]:
            chosen = with_room[free].pop()
            rooms[free] = bool(with_room[free])
        else:
            chosen, free = len(bins), limit
            bins.append([])
        bins[chosen].append(int(index))
        left = free - need
        if left > 0:
            with_room[left].append(chosen)
            rooms[left] = True
    return bins


class StepSampler(Sampler[int]):
    """A random order for every epoch in which sequences of similar length share a step, for less padding."""

    def __init__(self, lengths: Array, per_step: int, seed: int) -> None:
        self.lengths, self.per_step, self.seed = lengths, per_step, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is next. Our training loop calls it; Trainer and accelerate may as
        well."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        chance = np.random.default_rng((self.seed, self.epoch))
        order = chance.permutation(len(self.lengths))
        group = STEPS_SORTED * self.per_step
        steps: list[Array] = []
        for start in range(0, len(order), group):
            members = order[start : start + group]
            members = members[np.argsort(-self.lengths[members], kind="stable")]
            steps += [members[n : n + self.per_step] for n in range(0, len(members), self.per_step)]
        # A step with fewer sequences must stay the last. The longest step goes first, so that a batch that
        # does not fit on the device fails at once.
        whole = [step for step in steps if len(step) == self.per_step]
        rest = [step for step in steps if len(step) < self.per_step]
        mixed = [whole[n] for n in chance.permutation(len(whole))]
        if mixed:
            longest = max(range(len(mixed)), key=lambda n: int(self.lengths[mixed[n]].max()))
            mixed[0], mixed[longest] = mixed[longest], mixed[0]
        for step in (*mixed, *rest):
            yield from (int(index) for index in step)


class FixedOrder(Sampler[int]):
    """The order of the data set, the same in every epoch."""

    def __init__(self, length: int) -> None:
        self.length = length

    def set_epoch(self, epoch: int) -> None:
        """Does nothing: the order never changes."""

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.length))


@dataclass(frozen=True)
class PairPadder:
    """Collates pairs into a batch: the sequences with the better answers, then those with the worse ones,
    padded on the right."""

    pad_id: int

    def __call__(self, pairs: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        rows = []
        for answer in ("chosen_ids", "rejected_ids"):
            for pair in pairs:
                prompt, learnt = pair["prompt_ids"], pair[answer]
                labels = [IGNORED] * len(prompt) + learnt
                rows.append({"input_ids": np.array(prompt + learnt), "labels": np.array(labels)})
        return Padder(self.pad_id)(rows)


@dataclass(frozen=True)
class Padder:
    """Collates sequences into a batch, padded on the right to the longest."""

    pad_id: int
    flat: bool = False
    """Put all sequences of a batch into one row, where positions tell them apart: FlashAttention's
    variable-length form."""

    def __call__(self, rows: Sequence[dict[str, Array]]) -> dict[str, torch.Tensor]:
        packed = "position_ids" in rows[0]
        if packed and self.flat:
            joined = {name: np.concatenate([row[name] for row in rows])[None] for name in rows[0]}
            return {name: torch.from_numpy(values) for name, values in joined.items()}
        width = max(len(row["input_ids"]) for row in rows)

        def padded(name: str, fill: int) -> torch.Tensor:
            result = np.full((len(rows), width), fill, np.int64)
            for line, row in zip(result, rows, strict=True):
                line[: len(row[name])] = row[name]
            return torch.from_numpy(result)

        batch = {"input_ids": padded("input_ids", self.pad_id), "labels": padded("labels", IGNORED)}
        if packed:
            # With an attention mask transformers would not read the rows' borders from the positions. Padding
            # needs no mask: it comes last, and the loss leaves it out.
            batch["position_ids"] = padded("position_ids", 0)
        else:
            lengths = torch.tensor([len(row["input_ids"]) for row in rows])
            batch["attention_mask"] = (torch.arange(width)[None] < lengths[:, None]).long()
        return batch
