"""The training loop of a model of vectors: sentence-transformers' trainer, its states whole or not there."""

from pathlib import Path
from typing import TYPE_CHECKING

from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.sampler import BatchSamplers
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)

from finetune.embedding.adapter import load_adapter, save_adapter
from finetune.embedding.vectors import PASSAGE, QUERY
from finetune.models.embedder import prompt_of
from finetune.progress import Report
from finetune.recipes.recipe import EmbeddingTuning
from finetune.train.arguments import on_one_device
from finetune.train.loop import WholeStates
from finetune.train.progress import callbacks

if TYPE_CHECKING:
    from datasets import Dataset  # type: ignore[import-untyped]
    from torch import Tensor
    from torch.nn import Module


class EmbeddingTrainer(SentenceTransformerTrainer, WholeStates):
    """SentenceTransformerTrainer whose training states are complete or not there."""

    def add_model_card_callback(self, default_args_dict: object) -> None:
        """None: the card is kodolly.json."""


class AdapterTrainer(EmbeddingTrainer):
    """One whose training states hold the adapter alone."""

    def _save(self, output_dir: str | None = None, state_dict: "dict[str, Tensor] | None" = None) -> None:
        assert self.model is not None
        save_adapter(self.model, Path(output_dir or str(self.args.output_dir)))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: "Module | None" = None) -> None:
        learning = model or self.model
        assert learning is not None
        load_adapter(learning, Path(resume_from_checkpoint))


def embedding_trainer(
    model: SentenceTransformer,
    recipe: EmbeddingTuning,
    values: dict[str, object],
    train: "Dataset",
    held_out: "Dataset | None",
    report: Report,
) -> EmbeddingTrainer:
    """A trainer that is ready to run. values: Trainer's arguments, from finetune.train.arguments."""
    columns = train.column_names
    prompts = {name: prompt_of(model, QUERY if name == "question" else PASSAGE) for name in columns}
    args = SentenceTransformerTrainingArguments(
        **values,  # type: ignore[arg-type]
        batch_sampler=BatchSamplers.NO_DUPLICATES,
        prompts={name: prompt for name, prompt in prompts.items() if prompt},
    )
    on_one_device(args)
    kind = EmbeddingTrainer if recipe.lora is None else AdapterTrainer
    return kind(
        model=model,
        args=args,
        train_dataset=train,
        eval_dataset=held_out,
        loss=_loss(model, recipe),
        callbacks=callbacks(recipe, report),
    )


def _loss(model: SentenceTransformer, recipe: EmbeddingTuning) -> "Module":
    scale = 1 / recipe.embed.temperature
    if recipe.embed.mini_batch is not None:
        return CachedMultipleNegativesRankingLoss(model, scale, mini_batch_size=recipe.embed.mini_batch)
    return MultipleNegativesRankingLoss(model, scale)
