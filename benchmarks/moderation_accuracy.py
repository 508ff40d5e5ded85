"""How good the moderation model of this project is, beside a word list, and what looking costs a stream;
docs/moderation.md quotes it.

    pip install korcen
    python benchmarks/moderation_accuracy.py --data DIRECTORY [--clean finetune/demo/rows.jsonl]

It trains on finetune/demo/ethics.json as `kodolly train moderation` does and shows its figures on held-out
dialogues. Then false alarms are counted on clean text that was not trained on, as far as DIRECTORY has it, as
published: koalpaca_v1.0_8000.json, chatbot_data_9800.csv (songys/Chatbot_data) and kobest_v1.0/BoolQ/dev.tsv.
korcen's word list is asked the same, and about the labelled sentences, where it is installed.

At the end the model is served by a process of its own and asked as the gateway asks it, sentence by sentence
over a kept connection: median and 95% of what a sentence of a stream waits. Let nothing else run meanwhile.
"""

import argparse
import asyncio
import csv
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from pydantic import SecretStr

from common.engine_questions import NotServing, check_serving
from common.registry import ModelCard
from common.sentences import split_sentences
from finetune.eval.intervals import wilson
from finetune.moderation.dialogues import read_dialogues
from finetune.moderation.run import train_moderation
from finetune.progress import silent
from moderation.model import load_model
from moderation.service import KEY_VARIABLE
from server.inference.moderator import Moderator
from server.settings import ModerationRule
from server.upstreams.connection import ConnectionPool
from server.upstreams.directory import Directory
from server.upstreams.upstream import Reported, Upstream

OWN = Path("finetune/demo/ethics.json")
ASKED = 2000
"""Sentences whose wait is measured."""
Judge = Callable[[str], bool]


def clean_sets(data: Path) -> dict[str, list[str]]:
    """Name -> clean texts, of what there is in `data`."""
    found: dict[str, list[str]] = {}
    if (path := data / "koalpaca_v1.0_8000.json").exists():
        found["KoAlpaca answers"] = [row["output"] for row in json.loads(path.read_text(encoding="utf-8"))]
    if (path := data / "chatbot_data_9800.csv").exists():
        with path.open(encoding="utf-8", newline="") as file:
            found["Chatbot_data answers"] = [row["A"] for row in csv.DictReader(file)]
    if (path := data / "kobest_v1.0/BoolQ/dev.tsv").exists():
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            found["BoolQ paragraphs"] = [row["Text"] for row in rows]
    return found


def word_list() -> Judge | None:
    """korcen's check, if it is there."""
    if find_spec("korcen") is None:
        return None
    from korcen import korcen

    return lambda text: bool(korcen.check(text))


def show_share(name: str, judge: Judge, texts: Sequence[str]) -> None:
    began = time.perf_counter()
    hits = sum(map(judge, texts))
    spent_ms = (time.perf_counter() - began) * 1000 / len(texts)
    rate = wilson(hits, len(texts))
    print(
        f"  {name:<22} {rate.value:7.2%} ({rate.low:.2%} to {rate.high:.2%}) of {len(texts):,}, "
        f"{spent_ms:.2f} ms a text"
    )


async def waits_ms(url: str, key: str, sentences: Sequence[str]) -> list[float]:
    """What each sentence waits for the model, asked as a stream of the gateway does."""
    directory = Directory(providers=())
    card = ModelCard(name="guard", kind="moderation")
    directory.put_static(Upstream("guard", "worker", Reported(url, SecretStr(key), {"guard": card})))
    moderator = Moderator(directory, ConnectionPool(3.0))
    rule = ModerationRule(model="guard")
    waits = []
    for sentence in sentences:
        began = time.perf_counter()
        await moderator.look([sentence], rule)
        waits.append((time.perf_counter() - began) * 1000)
    moderator.pool.close()
    return waits


async def until_serving(url: str, key: str) -> None:
    import httpx2

    async with httpx2.AsyncClient(trust_env=False) as client:
        while True:
            try:
                await check_serving(client, url, key, ["guard"])
                return
            except NotServing:
                await asyncio.sleep(0.2)


def show_waits(model: Path, sentences: Sequence[str]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    url, key = f"http://127.0.0.1:{port}", secrets.token_urlsafe()
    argv = [sys.executable, "-m", "moderation.service", str(model), "--host", "127.0.0.1", "--port", port]
    env = {**os.environ, KEY_VARIABLE: key}
    with subprocess.Popen([*argv, "--name", "guard"], env=env, stderr=subprocess.DEVNULL) as service:
        try:
            asyncio.run(until_serving(url, key))
            waits = sorted(asyncio.run(waits_ms(url, key, sentences)))
        finally:
            service.terminate()
    p50, p95 = statistics.median(waits), waits[int(len(waits) * 0.95)]
    print(f"  a sentence waits {p50:.2f} ms (median), {p95:.2f} ms (95%), {len(waits):,} sentences")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clean", type=Path, action="append", default=[])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        target = Path(place) / "moderation"
        began = time.perf_counter()
        figures = train_moderation([OWN], asked.clean, target, "own", silent)
        print(f"trained in {time.perf_counter() - began:.0f} s; on held-out dialogues:")
        print("\n".join(f"  {line}" for line in figures.lines()))
        model = load_model(target)
        judges: dict[str, Judge | None] = {
            "kodolly": lambda text: model.judge(text).flagged,
            "korcen": word_list(),
        }
        clean = clean_sets(asked.data)
        labelled = read_dialogues([OWN])
        for name, judge in judges.items():
            if judge is None:
                print(f"{name} is not installed")
                continue
            print(f"{name}: false alarms")
            for title, texts in clean.items():
                show_share(title, judge, texts)
            if name != "kodolly":  # which was trained on these
                show_share("own clean sentences", judge, [s.text for s in labelled if not s.classes])
                print(f"{name}: found")
                show_share("own unethical", judge, [s.text for s in labelled if s.classes])
        print("a stream that is looked at:")
        sentences = [s for texts in clean.values() for text in texts[:2000] for s in split_sentences(text)]
        show_waits(target, sentences[:ASKED] or [s.text for s in labelled])


if __name__ == "__main__":
    main()
