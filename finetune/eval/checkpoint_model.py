"""A checkpoint that is evaluated in this process, by transformers."""

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import transformers

from common.chat_template import load_template, name_of_text
from common.errors import UserError
from common.thought_marks import NEAR, behind_thought
from finetune.encoding.encode import prompt_ids
from finetune.encoding.own_settings import find_settings, set_own
from finetune.encoding.text_ids import decoded
from finetune.eval.models import GeneratedAnswer, Messages
from finetune.models.auto import checkpoint_model, checkpoint_tokenizer
from finetune.models.load import engine_stops

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


TOKENS_AT_ONCE = 4096
"""Tokens, padding included, in one forward pass."""
ANSWERS_AT_ONCE = 32
NEVER_STOPS = -1


class CheckpointModel:
    """A checkpoint as an EvalModel: in float32 on a CPU, in its own number format on a GPU. Raises UserError
    when it cannot be loaded."""

    source = "checkpoint"

    def __init__(self, directory: Path, template: str | None = None) -> None:
        # transformers would warn of every prompt that is left out as too long.
        transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        self.name = directory.resolve().name
        self.tokenizer = load_eval_tokenizer(directory, template)
        on_gpu = torch.cuda.is_available()
        model = checkpoint_model(directory, lambda _: {"dtype": "auto" if on_gpu else torch.float32})
        self._device = torch.device("cuda" if on_gpu else "cpu")
        model.to(self._device)  # type: ignore[arg-type]
        model.train(False)
        self._model = model
        self._context = int(model.config.max_position_embeddings)

    def answers(
        self, conversations: Sequence[Messages], max_tokens: int, temperature: float = 0.0
    ) -> Iterator[GeneratedAnswer]:
        """See EvalModel."""
        prompts = [prompt_ids(self.tokenizer, messages) for messages in conversations]
        fitting = [n for n, ids in enumerate(prompts) if len(ids) + max_tokens <= self._context]
        found: dict[int, GeneratedAnswer] = {}
        by_length = sorted(fitting, key=lambda n: len(prompts[n]))
        batches = _batches(by_length, [len(ids) + max_tokens for ids in prompts], ANSWERS_AT_ONCE)
        for n, ids in enumerate(prompts):
            while n not in found and len(ids) + max_tokens <= self._context:
                batch = next(batches)
                made = self._generate([prompts[m] for m in batch], max_tokens, temperature)
                found.update(zip(batch, made, strict=True))
            yield found.get(n, GeneratedAnswer("", finished=False, fits=False))

    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> Iterator[list[float] | None]:
        """See EvalModel."""
        for ids in sequences:
            if len(ids) > self._context:
                yield None
                continue
            with torch.inference_mode():
                tokens = torch.tensor([ids], device=self._device)
                logits = self._model(input_ids=tokens, use_cache=False).logits[0, :-1].float()
                chosen = logits.gather(1, tokens[0, 1:, None])[:, 0] - logits.logsumexp(dim=1)
            yield chosen.tolist()

    def _generate(
        self, prompts: list[list[int]], max_tokens: int, temperature: float
    ) -> list[GeneratedAnswer]:
        longest = max(map(len, prompts))
        filler = self.tokenizer.pad_token_id
        padded = [[filler] * (longest - len(ids)) + ids for ids in prompts]
        mask = [[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts]
        sampling: dict[str, object] = {"do_sample": False}
        if temperature > 0:
            sampling = {"do_sample": True, "temperature": temperature}
        with torch.inference_mode():
            made = self._model.generate(  # type: ignore[operator]
                input_ids=torch.tensor(padded, device=self._device),
                attention_mask=torch.tensor(mask, device=self._device),
                max_new_tokens=max_tokens,
                pad_token_id=filler,
                **sampling,
            )[:, longest:].tolist()
        ends = self._end_ids()
        return [self._cut(prompt, ids, ends) for prompt, ids in zip(prompts, made, strict=True)]

    def _end_ids(self) -> set[int]:
        stops = self._model.generation_config.eos_token_id
        ids = stops if isinstance(stops, list) else [stops]
        return {self.tokenizer.eos_token_id, *(token for token in ids if token is not None)}

    def _cut(self, prompt: list[int], ids: list[int], ends: set[int]) -> GeneratedAnswer:
        at = next((n for n, token in enumerate(ids) if token in ends), NEVER_STOPS)
        kept = ids if at == NEVER_STOPS else ids[:at]
        text = decoded(self.tokenizer, kept, skip_special_tokens=True)
        text = behind_thought(decoded(self.tokenizer, prompt[-NEAR:]), text)
        return GeneratedAnswer(text, finished=at != NEVER_STOPS)


def load_eval_tokenizer(directory: Path, template: str | None) -> "PreTrainedTokenizerBase":
    """The checkpoint's tokenizer, with the bundled chat template `template` or its own. Raises UserError."""
    tokenizer = checkpoint_tokenizer(directory)
    if template is not None:
        tokenizer.chat_template = load_template(template)
    elif isinstance(tokenizer.chat_template, str) and name_of_text(tokenizer.chat_template) is None:
        set_own(tokenizer, find_settings(tokenizer, engine_stops(directory, tokenizer), date.today()))
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def require_chat_template(tokenizer: "PreTrainedTokenizerBase", directory: Path) -> None:
    """Raises UserError when the tokenizer has none."""
    if not tokenizer.chat_template:
        raise UserError(
            f"{directory} has no chat template, so it is not known how to ask it.",
            hint="Name one with --template, e.g. the one its tuned model was trained with.",
        )


def _batches(order: list[int], lengths: list[int], most: int) -> Iterator[list[int]]:
    """Neighbours of `order` whose padded places stay below TOKENS_AT_ONCE."""
    batch: list[int] = []
    for n in order:
        if batch and (len(batch) == most or (len(batch) + 1) * lengths[n] > TOKENS_AT_ONCE):
            yield batch
            batch = []
        batch.append(n)
    if batch:
        yield batch
