"""Votes and ratings as clients send them."""

from typing import Any

QUESTION = "서울에서 부산까지 얼마나 걸리나요?"


def answer(model: str, text: str, question: str = QUESTION, **more: Any) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "answer": text,
        "sampling": {"temperature": 0.7, "top_p": 1.0, "max_tokens": 256},
        "finish_reason": "stop",
        **more,
    }


def vote(choice: str, left: dict[str, Any], right: dict[str, Any], blind: bool = True) -> dict[str, Any]:
    return {"choice": choice, "left": left, "right": right, "blind": blind, "locale": "ko"}


def rating(score: int, given: dict[str, Any], tags: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"score": score, "tags": list(tags), "answer": given}
