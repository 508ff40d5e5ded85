"""Lines to paste into a terminal or a program to use a model through the gateway."""

import json


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
