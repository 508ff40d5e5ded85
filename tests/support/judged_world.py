"""Votes and ratings of three contenders at a gateway, for the pages that show them."""

import uuid
from typing import Any

import httpx2

HOSTILE = '<img src=x onerror="window.hurt=1"> =1+1'


def answer(model: str, words: str, checkpoint: str | None = None, number: int = 0) -> dict[str, Any]:
    return {
        "model": model,
        "checkpoint": checkpoint,
        "messages": [{"role": "user", "content": f"질문 {number} {HOSTILE}"}],
        "answer": f"{words} {HOSTILE}",
        "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 8},
        "finish_reason": "stop",
    }


def put(client: httpx2.Client, kind: str, body: dict[str, Any]) -> str:
    feedback_id = str(uuid.uuid4())
    client.put(f"/v1/feedback/{kind}/{feedback_id}", json=body).raise_for_status()
    return feedback_id


def fill(gateway: str, key: str | None = None, votes: int = 12) -> None:
    """dolly at two checkpoints against base: the newer one wins all, the older one half."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    with httpx2.Client(base_url=gateway, headers=headers, trust_env=False) as client:
        for number in range(votes):
            newer = number % 2 == 0
            dolly = answer("dolly", "좋은 답", "0123456789ab" if newer else "ba9876543210", number)
            about = {"rater_id": f"rater-{number % 3}", "category": "요약" if newer else "질의"}
            sides = {"left": dolly, "right": answer("base", "나쁜 답", None, number)}
            choice = "left" if newer or number % 4 == 1 else "right"
            put(client, "votes", about | sides | {"choice": choice, "blind": number != 0})
            rated = {"answer": dolly, "score": 5 if newer else 2, "tags": [] if newer else ["tone"]}
            put(client, "ratings", about | rated)
