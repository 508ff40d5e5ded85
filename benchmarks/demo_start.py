"""How long the demo takes on this machine: clone to first answer, then the second start. Linux only.

    python benchmarks/demo_start.py            clones this repository's HEAD into a temporary directory

Ports come from the environment as usual (KODOLLY_GATEWAY_PORT, KODOLLY_WEBUI_PORT ...); packages come from
pip's and uv's caches when they are there. Prints seconds.
"""

import json
import os
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT_S = 1200


def seconds_to_answer(clone: Path, label: str) -> float:
    """`make demo` until demo-dolly has answered; then Ctrl-C, which must stop everything."""
    log = clone / f"{label}.log"
    began = time.monotonic()
    with log.open("wb") as out:
        make = subprocess.Popen(
            ["make", "demo"], cwd=clone, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        while "kodolly is ready" not in log.read_text(encoding="utf-8", errors="replace"):
            if make.poll() is not None or time.monotonic() - began > LIMIT_S:
                raise SystemExit(f"make demo failed:\n{log.read_text(encoding='utf-8')[-2000:]}")
            time.sleep(0.2)
        answer = ask("이름이 무엇인지 알려 줄래요?")
        took = time.monotonic() - began
    finally:
        os.killpg(make.pid, signal.SIGINT)
        make.wait(60)
    print(f"{label}: {took:.0f} s to the first answer: {answer}")
    for line in log.read_text(encoding="utf-8").splitlines():
        if line.startswith(("install: done", "install: up to date", "demo models", "kodolly is ready")):
            print(f"    {line}")
    return took


def ask(question: str) -> str:
    """One answer of the tuned model through the gateway."""
    port = os.environ.get("KODOLLY_GATEWAY_PORT", "8000")
    body = {"model": "demo-dolly", "messages": [{"role": "user", "content": question}], "temperature": 0}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps(body).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return str(json.load(response)["choices"][0]["message"]["content"])


def main() -> None:
    """Clone, first start, second start."""
    with tempfile.TemporaryDirectory() as directory:
        clone = Path(directory) / "kodolly"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        seconds_to_answer(clone, "first start")
        seconds_to_answer(clone, "second start")


if __name__ == "__main__":
    main()
