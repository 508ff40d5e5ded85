"""Lines to paste into a terminal or a program to use a model through the gateway."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal


def curl_snippet(gateway_url: str, model: str) -> str:
    """A streaming chat request with curl."""
    body = json.dumps(
        {"model": model, "messages": [{"role": "user", "content": "안녕하세요?"}], "stream": True},
        ensure_ascii=False,
        indent=2,
    ).replace("'", "'\\''")
    return (
        f"curl -N {gateway_url.rstrip('/')}/v1/chat/completions \\\n"
        '  -H "Authorization: Bearer $KODOLLY_API_KEY" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d '{body}'"
    )


def python_snippet(gateway_url: str, model: str) -> str:
    """The same with the official client."""
    return f'''import os

from openai import OpenAI

client = OpenAI(
    base_url="{gateway_url.rstrip("/")}/v1",
    api_key=os.environ.get("KODOLLY_API_KEY", "none"),
)
stream = client.chat.completions.create(
    model={json.dumps(model, ensure_ascii=False)},
    messages=[{{"role": "user", "content": "안녕하세요?"}}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)'''


def langchain_snippet(gateway_url: str, model: str) -> str:
    """With langchain-openai."""
    return f'''import os

from langchain_openai import ChatOpenAI

chat = ChatOpenAI(
    model={json.dumps(model, ensure_ascii=False)},
    base_url="{gateway_url.rstrip("/")}/v1",
    api_key=os.environ.get("KODOLLY_API_KEY", "none"),
)
print(chat.invoke("안녕하세요?").content)'''


def litellm_snippet(gateway_url: str, model: str) -> str:
    """With litellm: `openai/` before the name says which API is spoken."""
    return f'''import os

import litellm

answer = litellm.completion(
    model={json.dumps(f"openai/{model}", ensure_ascii=False)},
    api_base="{gateway_url.rstrip("/")}/v1",
    api_key=os.environ.get("KODOLLY_API_KEY", "none"),
    messages=[{{"role": "user", "content": "안녕하세요?"}}],
)
print(answer.choices[0].message.content)'''


def open_webui_snippet(gateway_url: str, model: str) -> str:
    """Open WebUI in Docker; it lists all models by itself, so that it needs no name."""
    return (
        "docker run -d --network host -e PORT=3000 \\\n"
        f'  -e OPENAI_API_BASE_URL="{gateway_url.rstrip("/")}/v1" \\\n'
        '  -e OPENAI_API_KEY="$KODOLLY_API_KEY" \\\n'
        "  ghcr.io/open-webui/open-webui:main"
    )


@dataclass(frozen=True)
class Snippet:
    """One way to use a model."""

    language: Literal["shell", "python"]
    write: Callable[[str, str], str]
    """Makes the lines from the gateway's address and the model's name."""


SNIPPETS: Mapping[str, Snippet] = {
    "curl": Snippet("shell", curl_snippet),
    "python": Snippet("python", python_snippet),
    "langchain": Snippet("python", langchain_snippet),
    "litellm": Snippet("python", litellm_snippet),
    "open_webui": Snippet("shell", open_webui_snippet),
}
