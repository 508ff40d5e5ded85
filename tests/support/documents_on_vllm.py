"""The documents service behind a gateway whose model is a checkpoint on real vLLM."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.documents_stack import DOCUMENTS_TOKEN, KEYS, DocumentsStack
from tests.support.forked_vllm import quick_vllm
from tests.support.gateway_stack import TOKEN
from tests.support.processes import PATIENCE_S, free_port, kodolly, running, wait_for


@contextmanager
def documents_on_vllm(cwd: Path, checkpoint: Path, model: str) -> Iterator[DocumentsStack]:
    """Controller, gateway, documents service and a worker that is ready. The worker's card tells the service
    which template the model has learnt."""
    controller, gateway, service, engine = (f"http://127.0.0.1:{free_port()}" for _ in range(4))
    env = {
        "KODOLLY_STATE_DIR": str(cwd / "state"),
        "KODOLLY_JOIN_TOKEN": TOKEN,
        "KODOLLY_DOCUMENTS_TOKEN": DOCUMENTS_TOKEN,
        "KODOLLY_DOCUMENTS_GATEWAY_URL": gateway,
        "KODOLLY_GATEWAY_DOCUMENTS_URL": service,
        "KODOLLY_API_KEYS": f'["{KEYS[0]}", "{KEYS[1]}"]',
    }
    with ExitStack() as parts:
        for name, url, flags in (
            ("controller", controller, ()),
            ("gateway", gateway, ("--controller", controller)),
        ):
            argv = kodolly(name, "--port", _port(url), *flags)
            parts.enter_context(running(argv, cwd / f"{name}.log", f"{url}/healthz", env, cwd))
        stack = DocumentsStack(gateway, service, engine, cwd / "state", env, cwd)
        argv = kodolly("worker", str(checkpoint), "--name", model, "--port", _port(engine))
        argv += ["--controller", controller, "--cpu-threads", "1"]
        log = cwd / "worker.log"
        worker = parts.enter_context(running(argv, log, None, env | quick_vllm(), cwd))
        parts.enter_context(stack.documents())
        wait_for(lambda: model in names(stack), 300, worker, log, what=model)
        yield stack


def names(stack: DocumentsStack, key: int = 0) -> set[str]:
    """Of the models that a key sees."""
    return {model.id for model in stack.client(key).models.list()}


def filled_store(stack: DocumentsStack, files: tuple[Path, ...], name: str) -> str:
    """The id of a new vector store of the first key's with these files."""
    client = stack.client()
    made = client.vector_stores.create(name=name).id
    for path in files:
        with path.open("rb") as file:
            attached = client.vector_stores.files.upload_and_poll(
                vector_store_id=made, file=file, poll_interval_ms=100
            )
        assert attached.status == "completed", (path, attached.last_error)
    return made


def bind(stack: DocumentsStack, model: str, store: str, name: str) -> None:
    """Offer `model@name`, and wait until it is listed."""
    done = subprocess.run(
        kodolly("documents", "bind", model, store, "--as", name),
        cwd=stack.cwd,
        env=os.environ | stack.env | {"KODOLLY_API_KEY": KEYS[0]},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    wait_for(lambda: f"{model}@{name}" in names(stack), PATIENCE_S, what=f"{model}@{name}")


def _port(url: str) -> str:
    return url.rpartition(":")[2]
