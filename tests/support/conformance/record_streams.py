"""Record real event streams, so that the replay (W29) cuts what vLLM really sends.

    python -m tests.support.conformance.record_streams --engine http://127.0.0.1:9000 --key KEY --model NAME

Writes one JSON file a request into tests/conformance/recordings/: path, request, and the stream as text.
The files in the tree were recorded from vLLM 0.32 with the demo model.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

FOLDER = Path(__file__).parents[2] / "conformance" / "recordings"
MESSAGES = [{"role": "user", "content": "토큰이 무엇인가요?"}]
USAGE = {"stream_options": {"include_usage": True}}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "날씨를 알려 줍니다.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, {"messages": MESSAGES, "max_tokens": 8}),
    "chat-usage": (CHAT, {"messages": MESSAGES, "max_tokens": 8} | USAGE),
    "chat-running-usage": (
        CHAT,
        {"messages": MESSAGES, "max_tokens": 3}
        | {"stream_options": {"include_usage": True, "continuous_usage_stats": True}},
    ),
    "chat-logprobs": (CHAT, {"messages": MESSAGES, "max_tokens": 4, "logprobs": True, "top_logprobs": 2}),
    "chat-two-choices": (
        CHAT,
        {"messages": MESSAGES, "max_tokens": 3, "n": 2, "temperature": 1.0, "seed": 7} | USAGE,
    ),
    "chat-tool-call": (
        CHAT,
        {"messages": MESSAGES, "max_tokens": 60, "tools": [TOOL], "tool_choice": "required"},
    ),
    "chat-token-ids": (CHAT, {"messages": MESSAGES, "max_tokens": 3, "return_token_ids": True}),
    "completion": (COMPLETION, {"prompt": "봄에는", "max_tokens": 8}),
    "completion-echo-logprobs": (
        COMPLETION,
        {"prompt": "봄에는", "max_tokens": 3, "echo": True, "logprobs": 1} | USAGE,
    ),
    "completion-two-prompts": (COMPLETION, {"prompt": ["봄에는", "가을에는"], "max_tokens": 3}),
    "messages": ("/v1/messages", {"messages": MESSAGES, "max_tokens": 6}),
    "responses": ("/v1/responses", {"input": "토큰이 무엇인가요?", "max_output_tokens": 6}),
}


@dataclass(frozen=True)
class Recording:
    """One recorded exchange."""

    name: str
    path: str
    request: dict[str, Any]
    stream: bytes


def recordings() -> list[Recording]:
    """All that lie in the tree, by name."""
    found = []
    for file in sorted(FOLDER.glob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        found.append(
            Recording(file.stem, content["path"], content["request"], "".join(content["stream"]).encode())
        )
    return found


def main() -> None:
    """Record all requests again."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", required=True)
    parser.add_argument("--key", default="")
    parser.add_argument("--model", required=True)
    args = parser.parse_args()
    for name, (path, fields) in REQUESTS.items():
        request = {"model": args.model, "stream": True, "temperature": 0} | fields
        headers = {"authorization": f"Bearer {args.key}"}
        answer = httpx2.post(f"{args.engine}{path}", json=request, headers=headers, trust_env=False)
        answer.raise_for_status()
        lines = answer.content.decode("utf-8").splitlines(keepends=True)
        content = {"path": path, "request": request, "stream": lines}
        text = json.dumps(content, ensure_ascii=False, indent=1)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
