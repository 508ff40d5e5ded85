"""The card of a tuned checkpoint, with the recipe that made it."""

from common.checkpoint import CheckpointCard

CARD = CheckpointCard(
    name="my-dolly",
    method="lora",
    recipe={
        "name": "my-dolly",
        "method": "lora",
        "base": "polyglot",
        "data": [{"path": "rows.jsonl"}],
        "replay": [{"path": "old.jsonl"}],
        "validation": 0.1,
        "learning_rate": 4e-4,
        "schedule": "cosine",
        "epochs": 7,
        "batch_size": 1,
        "max_length": 300,
        "lora": {"rank": 8, "alpha": 8},
    },
    licence="Apache-2.0",
    template="dolly",
    template_hash="0",
    context_length=2048,
    dtype="float32",
    parameters=1,
    created=1,
)
