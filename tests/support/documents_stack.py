"""A gateway and a documents service as real processes, with two keys, and a scripted engine behind them."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import openai

from tests.support.processes import PATIENCE_S, free_port, kodolly, running, scripted_engine

KEYS = ("sk-first", "sk-second")
DOCUMENTS_TOKEN = "test-documents-token"


@dataclass(frozen=True)
class DocumentsStack:
    """Where everything is."""

    gateway: str
    service: str
    engine: str
    state: Path
    env: dict[str, str]
    cwd: Path

    def client(self, number: int = 0) -> openai.OpenAI:
        """The official client with one of the keys."""
        return openai.OpenAI(
            base_url=f"{self.gateway}/v1", api_key=KEYS[number], max_retries=0, timeout=PATIENCE_S
        )

    @contextmanager
    def documents(self) -> Iterator[None]:
        """The service runs while the block does."""
        argv = kodolly("documents", "serve", "--port", self.service.rpartition(":")[2])
        with running(argv, self.cwd / "documents.log", f"{self.service}/healthz", self.env, self.cwd):
            yield


@contextmanager
def documents_stack(
    cwd: Path, model: str = "my-dolly", engine_module: str | None = None
) -> Iterator[DocumentsStack]:
    """The gateway, without the service. `engine_module` takes its port as the only argument, and
    the place of the scripted engine."""
    gateway, service = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    env = {
        "KODOLLY_STATE_DIR": str(cwd / "state"),
        "KODOLLY_DOCUMENTS_TOKEN": DOCUMENTS_TOKEN,
        "KODOLLY_DOCUMENTS_GATEWAY_URL": gateway,
        "KODOLLY_GATEWAY_DOCUMENTS_URL": service,
        "KODOLLY_API_KEYS": f'["{KEYS[0]}", "{KEYS[1]}"]',
    }
    with ExitStack() as stack:
        if engine_module is None:
            engine = stack.enter_context(scripted_engine(cwd, model))
        else:
            engine = f"http://127.0.0.1:{(port := free_port())}"
            argv = [sys.executable, "-m", engine_module, str(port)]
            stack.enter_context(running(argv, cwd / "engine.log", f"{engine}/health"))
        argv = kodolly("gateway", "--port", gateway.rpartition(":")[2], "--static", f"{model}={engine}")
        stack.enter_context(running(argv, cwd / "gateway.log", f"{gateway}/healthz", env, cwd))
        yield DocumentsStack(gateway, service, engine, cwd / "state", env, cwd)
