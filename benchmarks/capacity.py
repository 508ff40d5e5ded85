"""How many users one gateway process, one controller and one worker of each model size carry.

python benchmarks/capacity.py [--answer 250] [--prompt 1000] [--pause 60] [--only gateway,controller,worker]

Gateway and controller are measured: processes as users run them, on one core, before an engine that costs
nothing (benchmarks/gateway.py). Workers are computed from the shapes of the models and from assumptions that
stand below as constants. Needs Linux and two cores.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from benchmarks.gateway_loads import memory_kb, paced, wait_until_whole  # noqa: E402
from benchmarks.gateways import GATEWAY_CORE, cpu_ns, engine, family, ours, pinned  # noqa: E402
from common.registry import RENEW_EVERY_S  # noqa: E402
from tests.support.gateway_stack import TOKEN, member  # noqa: E402
from tests.support.processes import free_port, kodolly, running, scripted_engine, wait_for  # noqa: E402

SHARE = 0.6
"""Of a core: what is planned with. The rest is for bursts, and for a neighbour that is away."""
GIB = 1024**3


@dataclass(frozen=True)
class Users:
    """What one user does."""

    prompt: int
    """Tokens of a prompt, the conversation so far included."""
    answer: int
    """Tokens of an answer."""
    pause_s: float
    """From the end of an answer to the next question."""

    def answering(self, tokens_per_s: float) -> float:
        """The share of time in which a user's answer is being written."""
        seconds = self.answer / tokens_per_s
        return seconds / (seconds + self.pause_s)


# -- gateway, measured ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GatewayCost:
    """CPU and memory of the gateway's process."""

    request_us: float
    token_us: float
    """A token that arrives by itself, as an engine of 20 ms a token sends it."""
    stream_kb: float
    idle_share: float
    """Of a core, with no user."""


def measure_gateway(rounds: int) -> GatewayCost:
    """Two lengths of stream give the two costs: CPU(request) = request_us + tokens x token_us."""
    short, long, streams = 16, 116, 128
    requests, tokens = [], []
    with tempfile.TemporaryDirectory() as folder:
        tmp = Path(folder)
        with engine(tmp, 20) as url, ours(url, tmp, tmp) as target:
            wait_until_whole("kodolly", target, True, 4, tmp)
            paced("kodolly", target, 16, 8)
            before, began = cpu_ns(target.pids()), time.monotonic()
            time.sleep(5)
            idle = (cpu_ns(target.pids()) - before) / 1e9 / (time.monotonic() - began)
            for _ in range(rounds):
                costs = {length: paced("kodolly", target, streams, length) for length in (short, long)}
                assert not any(row.failed for row in costs.values()), costs
                token = (costs[long].cpu_us - costs[short].cpu_us) / (long - short)
                tokens.append(token)
                requests.append(costs[short].cpu_us - short * token)
            memory = memory_kb(target, 1000)
    return GatewayCost(statistics.median(requests), statistics.median(tokens), memory, idle)


def show_gateway(cost: GatewayCost, users: Users) -> None:
    per_user = (cost.request_us + users.answer * cost.token_us) / 1e6 / (users.answer / 50 + users.pause_s)
    print("One gateway process (measured, one core)")
    print(f"  a request                 {cost.request_us:8.0f} us of CPU")
    print(f"  a streamed token          {cost.token_us:8.1f} us of CPU")
    print(f"  an open stream            {cost.stream_kb:8.1f} KB of memory")
    print(f"  no users                  {cost.idle_share * 100:8.1f} % of a core")
    tokens = (SHARE - cost.idle_share) / cost.token_us * 1e6
    print(f"  tokens/s at {SHARE:.0%} of a core  {round(tokens, -2):8.0f}")
    carried = (SHARE - cost.idle_share) / per_user
    print(f"  users at {SHARE:.0%} of a core     {round(carried, -2):8.0f}")
    active = carried * users.answering(50)
    print(f"    of them being answered  {round(active, -1):8.0f}, {active * cost.stream_kb / 1024:.0f} MB")


# -- controller, measured ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class ControllerCost:
    """CPU of the controller's process."""

    idle_share: float
    """Of a core, with nothing to do."""
    renewal_us: float
    watched_us: float
    """What a renewal costs more for each gateway that follows."""


WATCHERS = 8
WORKERS = 40


def measure_controller(seconds: float) -> ControllerCost:
    """Renewals of `WORKERS` workers, as often as they come in production; without and with gateways."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        tmp = Path(folder)
        url = f"http://127.0.0.1:{free_port()}"
        env = {"KODOLLY_JOIN_TOKEN": TOKEN, "KODOLLY_STATE_DIR": str(tmp / "state")}
        argv = pinned(GATEWAY_CORE, kodolly("controller", "--port", url.rpartition(":")[2]))
        process = stack.enter_context(running(argv, tmp / "controller.log", f"{url}/healthz", env, tmp))
        worker = stack.enter_context(scripted_engine(tmp, "tiny"))
        members = [member(url, worker, f"worker-{number}", "tiny") for number in range(WORKERS)]
        for one in members:
            one.put().raise_for_status()

        pids = family(process.pid)
        before, began = cpu_ns(pids), time.monotonic()
        time.sleep(seconds / 2)
        idle_us = (cpu_ns(pids) - before) / 1000 / (time.monotonic() - began)

        def renewals(count: int) -> float:
            """CPU of one renewal in us, the spreading of the news to whoever watches included."""
            before, began = cpu_ns(pids), time.monotonic()
            sent = asyncio.run(renew(url, members, count, seconds))
            return ((cpu_ns(pids) - before) / 1000 - idle_us * (time.monotonic() - began)) / sent

        alone = renewals(0)
        stop = threading.Event()
        threads = [threading.Thread(target=watch, args=(url, stop), daemon=True) for _ in range(WATCHERS)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(WATCHING) == WATCHERS, 10, what="the watchers")
        watched = renewals(1)
        stop.set()
    return ControllerCost(idle_us / 1e6, alone, max(0.0, watched - alone) / WATCHERS)


WATCHING: list[int] = []


def watch(url: str, stop: threading.Event) -> None:
    """Follow as a gateway does."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    try:
        with httpx2.stream(
            "GET", f"{url}/v1/watch", headers=headers, timeout=None, trust_env=False
        ) as answer:
            WATCHING.append(answer.status_code)
            for _ in answer.iter_raw():
                if stop.is_set():
                    return
    except httpx2.HTTPError:
        return  # the controller has ended


async def renew(url: str, members: list, load: int, seconds: float) -> int:  # type: ignore[type-arg]
    """Renew all members every RENEW_EVERY_S, each with a new load, from connections that stay open."""
    sent, end = 0, time.monotonic() + seconds
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    async with httpx2.AsyncClient(base_url=url, trust_env=False, headers=headers) as client:
        while time.monotonic() < end:
            for number, one in enumerate(members):
                said = one.registration
                news = said.load.model_copy(update={"known": True, "running": (sent + number) % 97 + load})
                body = said.model_copy(update={"load": news}).model_dump_json()
                (await client.put(f"/v1/workers/{said.worker_id}", content=body)).raise_for_status()
                sent += 1
                await asyncio.sleep(RENEW_EVERY_S / len(members) * 0.9)
    return sent


def show_controller(cost: ControllerCost) -> None:
    print("\nOne controller (measured, one core)")
    print(f"  no workers                        {cost.idle_share * 100:6.1f} % of a core")
    print(f"  a renewal                         {cost.renewal_us:6.0f} us of CPU")
    print(f"  its news to each gateway process  {cost.watched_us:6.0f} us of CPU")
    for gateways in (2, 10, 50):
        each = (cost.renewal_us + gateways * cost.watched_us) / 1e6 / RENEW_EVERY_S
        workers = (SHARE - cost.idle_share) / each
        print(f"  workers with {gateways:3} gateways at {SHARE:.0%}   {round(workers, -1):6.0f}")


# -- workers, computed ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """What a model's config.json says."""

    name: str
    billions: float
    """Parameters that lie in memory."""
    active: float
    """Parameters that a token is multiplied with; fewer than all in a mixture of experts."""
    layers: int
    kv_heads: int
    head_size: int

    @property
    def weight_bytes(self) -> float:
        return self.billions * 2e9

    @property
    def token_bytes(self) -> int:
        """Key and value of every layer, 2 bytes each."""
        return 2 * self.layers * self.kv_heads * self.head_size * 2


SHAPES = (
    Shape("Polyglot-Ko 1.3B", 1.33, 1.33, 24, 16, 128),
    Shape("Polyglot-Ko 3.8B", 3.86, 3.86, 32, 24, 128),
    Shape("Polyglot-Ko 5.8B", 5.89, 5.89, 28, 16, 256),
    Shape("Mistral 7B", 7.24, 7.24, 32, 8, 128),
    Shape("SOLAR 10.7B", 10.73, 10.73, 48, 8, 128),
    Shape("Polyglot-Ko 12.8B", 12.90, 12.90, 40, 40, 128),
    Shape("Llama 2 13B", 13.02, 13.02, 40, 40, 128),
    Shape("Mixtral 8x7B", 46.70, 12.90, 32, 8, 128),
)


@dataclass(frozen=True)
class Card:
    """A GPU as its data sheet has it."""

    name: str
    gib: float
    gb_per_s: float
    """Memory bandwidth."""
    tflops: float
    """bfloat16, dense."""


CARDS = (
    Card("RTX 4090 24 GB", 24, 1008, 165),
    Card("A100 80 GB", 80, 2039, 312),
    Card("H100 80 GB", 80, 3350, 989),
    Card("H200 141 GB", 141, 4800, 989),
)
USED, OTHER_GIB = 0.9, 2.0
"""vLLM's --gpu-memory-utilization, and what activations and CUDA graphs take of it."""
BANDWIDTH, COMPUTE = 0.6, 0.4
"""Shares of the data sheet's figures that decoding and prefill reach."""
WISHED_TOKENS_PER_S = 15.0
"""Each user's, at least: twice as fast as people read."""
MOST = 256


@dataclass(frozen=True)
class Carried:
    """What one worker does at its best batch."""

    cards: int
    kv_tokens: int
    batch: int
    tokens_per_s: float
    """Each user's."""
    users: float


def carry(shape: Shape, card: Card, users: Users) -> Carried:
    """One worker on 1, 2, 4 ... of these GPUs: as few as hold its weights and leave a fifth of the memory."""
    count = 1
    while shape.weight_bytes > 0.8 * USED * card.gib * GIB * count:
        count *= 2
    free = (USED * card.gib - OTHER_GIB) * GIB * count - shape.weight_bytes
    kv_tokens = int(free / shape.token_bytes)
    length = users.prompt + users.answer / 2
    batch, speed = 0, 0.0
    for tried in range(1, MOST + 1):
        if tried * (users.prompt + users.answer) > kv_tokens:
            break
        now = decode_speed(shape, card, count, tried, length, users)
        if now < WISHED_TOKENS_PER_S and batch:
            break
        batch, speed = tried, now
    return Carried(count, kv_tokens, batch, speed, batch / users.answering(speed) if speed else 0.0)


def decode_speed(shape: Shape, card: Card, count: int, batch: int, length: float, users: Users) -> float:
    """Tokens/s of each of `batch` users. A step reads the weights once and every user's cache, or computes.

    Every answer's prefill stands between the steps of the others.
    """
    touched = min(shape.weight_bytes, batch * shape.active * 2e9)  # few users touch few experts
    read_s = (touched + batch * length * shape.token_bytes) / (card.gb_per_s * 1e9 * BANDWIDTH * count)
    flops = card.tflops * 1e12 * COMPUTE * count
    step_s = max(read_s, batch * 2 * shape.active * 1e9 / flops)
    prefill_s = users.prompt * 2 * shape.active * 1e9 / flops
    return 1 / (step_s + batch * prefill_s / users.answer)


def show_workers(users: Users) -> None:
    print("\nOne worker (computed, 16-bit weights and cache, no prefix cache, no speculation)")
    print("                    KB/token  " + "".join(f"{card.name:>26}" for card in CARDS))
    print("                              " + "GPUs batch tok/s  users".rjust(26) * len(CARDS))
    for shape in SHAPES:
        cells = []
        for card in CARDS:
            found = carry(shape, card, users)
            cells.append(f"{found.cards:>8} {found.batch:5} {found.tokens_per_s:5.0f} {found.users:5.0f}")
        print(
            f"  {shape.name:18}{shape.token_bytes / 1024:8.0f}  " + "".join(f"{cell:>26}" for cell in cells)
        )


def main() -> None:
    """Entry point."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--answer", type=int, default=250, help="tokens of an answer")
    parser.add_argument("--prompt", type=int, default=1000, help="tokens of a prompt")
    parser.add_argument("--pause", type=float, default=60.0, help="s between an answer and the next question")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="gateway,controller,worker")
    args = parser.parse_args()
    users = Users(args.prompt, args.answer, args.pause)
    print(
        f"A user: prompts of {users.prompt} tokens, answers of {users.answer} tokens, {users.pause_s:.0f} s "
        "between an answer and the next question.\n"
    )
    chosen = args.only.split(",")
    if "gateway" in chosen:
        show_gateway(measure_gateway(args.rounds), users)
    if "controller" in chosen:
        show_controller(measure_controller(10.0))
    if "worker" in chosen:
        show_workers(users)


if __name__ == "__main__":
    main()
