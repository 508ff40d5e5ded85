"""`kodolly worker`."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from worker.settings import WorkerSettings

EPILOG = """\b
Examples:
  kodolly worker runs/my-dolly
  kodolly worker runs/my-dolly --name my-dolly --port 21005 --controller http://10.0.0.5:21001
  kodolly worker runs/my-dolly --host 0.0.0.0 --advertise-url http://10.0.0.7:21002
  kodolly worker runs/my-dolly -- --max-model-len 2048 --gpu-memory-utilization 0.8
  kodolly worker models/my-moderation
  kodolly worker models/base --adapter dolly=runs/my-adapter
  kodolly worker models/large -- --tensor-parallel-size 4
  kodolly worker --attach http://127.0.0.1:11434 --model llama3.2:3b
"""


@click.command("worker", epilog=EPILOG)
@click.argument("model_dir", type=click.Path(path_type=Path), required=False)
@click.argument("vllm_args", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--name",
    "names",
    multiple=True,
    help="Name to serve the model under; may be repeated.  [default: its own]",
)
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    metavar="NAME=DIR",
    help="LoRA adapter to serve too; may be repeated.",
)
@click.option("--host", help="Address the engine listens on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the engine.  [default: 21002]")
@click.option(
    "--advertise-url", metavar="URL", help="Where gateways reach the engine.  [default: http://host:port]"
)
@click.option("--attach", metavar="URL", help="Register the server that runs there instead of starting one.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="With --attach: a model it serves; may be repeated.",
)
@click.option(
    "--key-env", metavar="VARIABLE", help="With --attach: environment variable with the server's key."
)
@click.option(
    "--controller", "controllers", multiple=True, metavar="URL", help="Controller to join; may be repeated."
)
@click.option("--cpu-cores", metavar="LIST", help="CPU engine: cores to bind its threads to, e.g. 0-3.")
@click.option("--cpu-threads", type=click.IntRange(min=1), help="CPU engine: threads.  [default: one a core]")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(
    model_dir: Path | None,
    vllm_args: tuple[str, ...],
    names: tuple[str, ...],
    adapters: tuple[str, ...],
    host: str | None,
    port: int | None,
    advertise_url: str | None,
    attach: str | None,
    models: tuple[str, ...],
    key_env: str | None,
    controllers: tuple[str, ...],
    cpu_cores: str | None,
    cpu_threads: int | None,
    config: Path | None,
) -> None:
    """Serve the checkpoint MODEL_DIR with vLLM and register it; flags after `--` go to vLLM. A moderation
    model (`kodolly train moderation`) is served without vLLM.

    With --attach, register an OpenAI-compatible server that runs already.
    """
    from common.logs import configure_logging
    from common.settings import load_settings
    from kodolly.environment_names import warn_of_unknown_names
    from worker.settings import WorkerSettings

    flags: dict[str, object] = {"host": host, "port": port, "advertise_url": advertise_url}
    flags |= {"controllers": controllers or None, "cpu_cores": cpu_cores, "cpu_threads": cpu_threads}
    started = (model_dir, *names, *adapters, host, port, cpu_cores, cpu_threads)
    if attach is None:
        directory = _only_started(model_dir, (*models, key_env))
        settings = load_settings(WorkerSettings, flags, config)
        serve = _serve_model(settings, directory, names, adapters, vllm_args)
    else:
        _refuse_beside_attach(started, models)
        settings = load_settings(WorkerSettings, flags, config)
        serve = _serve_attached(settings, attach, models, key_env)
    configure_logging(settings.log_level, settings.log_format)
    warn_of_unknown_names("worker")
    asyncio.run(serve)


def _only_started(model_dir: Path | None, for_attached: tuple[str | None, ...]) -> Path:
    """The checkpoint to serve. Raises UsageError without one, or beside options of --attach."""
    if model_dir is None:
        raise click.UsageError("Missing argument 'MODEL_DIR' (or --attach URL).")
    if any(for_attached):
        raise click.UsageError("--model and --key-env belong to --attach.")
    return model_dir


def _refuse_beside_attach(started: tuple[object, ...], models: tuple[str, ...]) -> None:
    """Raise UsageError for options of an engine that is started, and where no model is named."""
    if any(started):
        raise click.UsageError(
            "With --attach no engine is started: only --model, --key-env, --advertise-url and "
            "--controller make sense."
        )
    if not models:
        raise click.UsageError("--attach needs --model NAME, as the server itself calls it.")


def _serve_model(
    settings: "WorkerSettings",
    model_dir: Path,
    names: tuple[str, ...],
    adapters: tuple[str, ...],
    vllm_args: tuple[str, ...],
) -> Coroutine[Any, Any, None]:
    from common.model_kind import is_moderation

    if not is_moderation(model_dir):
        return _serve_checkpoint(settings, model_dir, names, adapters, (*settings.engine_flags, *vllm_args))
    if adapters or vllm_args:
        raise click.UsageError("A moderation model takes no adapters and no flags of vLLM.")
    return _serve_moderation(settings, model_dir, names)


def _serve_checkpoint(
    settings: "WorkerSettings",
    model_dir: Path,
    names: tuple[str, ...],
    adapters: tuple[str, ...],
    vllm_args: tuple[str, ...],
) -> Coroutine[Any, Any, None]:
    from common.serve import check_port
    from worker.adapters import read_adapters
    from worker.engine import vllm_command
    from worker.flags import capacity
    from worker.model_dir import describe_model, refuse_double_names
    from worker.supervisor import Supervisor

    own = describe_model(model_dir, names, vllm_args)
    beside = read_adapters(adapters, own[0], model_dir)
    cards = [*own, *(adapter.card for adapter in beside)]
    refuse_double_names(cards)
    engine = vllm_command(settings, model_dir, [card.name for card in own], vllm_args, beside)
    check_port(settings.host, settings.port, "--port")
    return Supervisor(settings, engine, cards, capacity=capacity(vllm_args)).run()


def _serve_moderation(
    settings: "WorkerSettings", model_dir: Path, names: tuple[str, ...]
) -> Coroutine[Any, Any, None]:
    from common.serve import check_port
    from worker.moderation_model import describe_moderation, moderation_command
    from worker.supervisor import Supervisor

    cards = describe_moderation(model_dir, names)
    engine = moderation_command(settings, model_dir, [card.name for card in cards])
    check_port(settings.host, settings.port, "--port")
    return Supervisor(settings, engine, cards).run()


async def _serve_attached(
    settings: "WorkerSettings", url: str, models: tuple[str, ...], key_env: str | None
) -> None:
    from worker.attach import attached_engine, refuse_what_cannot_work
    from worker.model_dir import named_cards
    from worker.supervisor import Supervisor

    engine = attached_engine(url, key_env)
    cards = named_cards(models)
    await refuse_what_cannot_work(engine, models)
    await Supervisor(settings, engine, cards).run()
