"""Which sequences a training step sees, and as what tensors.

The order is a function of seed, epoch and data alone. So a run that was killed goes on exactly where it
was, and two processes with half the batch each see in every step what one process sees.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from finetune.encoding.encode import IGNORED
from finetune.encoding.token_store import Array, TokenStore

STEPS_SORTED = 50
"""So many steps' worth of sequences are sorted by length: like lengths meet, and order stays by chance."""


@dataclass(frozen=True)
class ChosenSequences:
    """Sequences chosen out of stores: places are (store, index)."""

    stores: tuple[TokenStore, ...]
    places: Array
    """Shape (n, 2)."""

    def __len__(self) -> int:
        return len(self.places)

    @property
    def lengths(self) -> Array:
        """Tokens of every sequence."""
        return self._gathered([store.lengths for store in self.stores])

    @property
    def learnt_lengths(self) -> Array:
        """Tokens of every sequence that the loss covers."""
        return self._gathered([store.learnt_lengths for store in self.stores])

    def _gathered(self, values: list[Array]) -> Array:
        result = np.empty(len(self), np.int64)
        for number, store_values in enumerate(values):
            mine = self.places[:, 0] == number
            result[mine] = store_values[self.places[mine, 1]]
        return result

    def sequence(self, index: int) -> tuple[Array, Array]:
        """(input ids, labels)."""
        store, place = self.places[index]
        found: TokenStore = self.stores[store]
        return found.sequence(int(place))

    def select(self, chosen: Array) -> "ChosenSequences":
        """Some of them."""
        return ChosenSequences(self.stores, self.places[chosen])


class Sequences(Dataset[dict[str, Array]]):
    """One row is one sequence."""

    def __init__(self, rows: ChosenSequences) -> None:
        self.rows = rows
        self.lengths = rows.lengths

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Array]:
        ids, labels = self.rows.sequence(index)
        return {"input_ids": ids, "labels": labels}


class Packed(Dataset[dict[str, Array]]):
    """Rows laid end to end into sequences of at most `limit` tokens; positions begin anew with each row."""

    def __init__(self, rows: ChosenSequences, limit: int) -> None:
        self.rows = rows
        self.bins = pack(rows.lengths, limit)
        self.lengths = np.array([int(rows.lengths[members].sum()) for members in self.bins])

    def __len__(self) -> int:
        return len(self.bins)

    def __getitem__(self, index: int) -> dict[str, Array]:
        parts = [self.rows.sequence(member) for member in self.bins[index]]
        labels = np.concatenate([part[1] for part in parts])
        # The first token of a row would otherwise be predicted from the last of the row before it.
        labels[np.cumsum([0] + [len(part[0]) for part in parts[:-1]])] = IGNORED
        return {
            "input_ids": np.concatenate([part[0] for part in parts]),
            "labels": labels,
            "position_ids": np.concatenate([np.arange(len(part[0])) for part in parts]),
        }


class PairData(Dataset[dict[str, list[int]]]):
    """Preference pairs in the columns of TRL's DPOTrainer."""

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
    """Answers that are good or bad, in the columns of TRL's KTOTrainer and in an order drawn once.

    `KL_completion_ids` is the answer of the row before in the same batch: the distance to the reference is
    measured with answers that belong to other prompts, and they must be the batch's own (TRL does the same).
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
        if size == 1:  # a last batch of one row has only the batch before
            return index - 1 if index else 0
        return first + (index - first - 1) % size


TrainingData = Sequences | Packed | PairData | LabelledData


def pack(lengths: Array, limit: int) -> list[list[int]]:
    """Rows to bins of at most `limit` tokens: best fit, the longest first. Fills are within a few percent
    of the optimum, and looking a bin up by its free room makes it linear in the rows."""
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
    """An order for every epoch in which sequences of like length share a step: less padding."""

    def __init__(self, lengths: Array, per_step: int, seed: int) -> None:
        self.lengths, self.per_step, self.seed = lengths, per_step, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Trainer and accelerate call it where they can reach it; the loop does in any case."""
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
        # Only the very last step may be short, so it stays last; the longest goes first, so that a batch
        # that has no room on the device shows at once.
        whole = [step for step in steps if len(step) == self.per_step]
        rest = [step for step in steps if len(step) < self.per_step]
        mixed = [whole[n] for n in chance.permutation(len(whole))]
        if mixed:
            longest = max(range(len(mixed)), key=lambda n: int(self.lengths[mixed[n]].max()))
            mixed[0], mixed[longest] = mixed[longest], mixed[0]
        for step in (*mixed, *rest):
            yield from (int(index) for index in step)


class FixedOrder(Sampler[int]):
    """The data set's own order in every epoch."""

    def __init__(self, length: int) -> None:
        self.length = length

    def set_epoch(self, epoch: int) -> None:
        """No epoch has an order of its own."""

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.length))


@dataclass(frozen=True)
class PairPadder:
    """Batches of pairs: the better answers' sequences, then the worse ones', padded on the right."""

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
    """Batches of sequences, padded on the right to the longest."""

    pad_id: int
    flat: bool = False
    """All sequences of a batch in one row, told apart by their positions: what FlashAttention takes."""

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
            # A mask would keep transformers from reading the borders out of the positions. Padding needs
            # none: it comes last, and nothing is learnt there.
            batch["position_ids"] = padded("position_ids", 0)
        else:
            lengths = torch.tensor([len(row["input_ids"]) for row in rows])
            batch["attention_mask"] = (torch.arange(width)[None] < lengths[:, None]).long()
        return batch
