"""`kodolly deploy`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from common.registry import DRAIN_TIMEOUT_S, LEAST_SHARE, Sticky
from kodolly.finite_range import FiniteRange

if TYPE_CHECKING:
    from kodolly.operate.canary import Site
    from kodolly.operate.deploy import Deployment

EPILOG = """\b
Examples:
  kodolly deploy my-dolly runs/my-dolly-2
  kodolly deploy my-dolly runs/my-dolly-2 --share 10
  kodolly deploy my-dolly runs/my-dolly-2 --port 21010
  kodolly deploy my-dolly runs/my-dolly-2 -- --max-model-len 2048
"""


@dataclass(frozen=True)
class WaitOptions:
    """Where a deployment happens, and how long it may take."""

    ready_timeout_s: float
    drain_timeout_s: float
    controllers: tuple[str, ...]
    config: Path | None

    def site(self) -> "Site":
        """The controllers that are meant. Raises UserError."""
        return site_of(self.controllers, self.config)

    def of_remembered(self, name: str) -> "Deployment":
        """Time limits for a deployment of `name` whose checkpoint is remembered."""
        from kodolly.operate.deploy import Deployment

        return Deployment(name, Path(), None, (), self.ready_timeout_s, self.drain_timeout_s)


def wait_options(decorated: Callable[..., None]) -> Callable[..., None]:
    """Options of all commands that start a worker and stop others; the command gets them as `wait`."""

    @wraps(decorated)
    def command(
        *args: Any,
        ready_timeout_s: float,
        drain_timeout_s: float,
        controllers: tuple[str, ...],
        config: Path | None,
        **kwargs: Any,
    ) -> None:
        wait = WaitOptions(ready_timeout_s, drain_timeout_s, controllers, config)
        decorated(*args, wait=wait, **kwargs)

    return _with_options(command)


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        (
            click.option(
                "--timeout",
                "ready_timeout_s",
                type=FiniteRange(1),
                default=900.0,
                show_default=True,
                metavar="SECONDS",
                help="Longest wait for the new worker to become ready.",
            ),
            click.option(
                "--drain-timeout",
                "drain_timeout_s",
                type=FiniteRange(0, 86400),
                default=DRAIN_TIMEOUT_S,
                show_default=True,
                metavar="SECONDS",
                help="Longest wait for requests that run at the old workers.",
            ),
            click.option(
                "--controller",
                "controllers",
                multiple=True,
                metavar="URL",
                help="Controller to ask; may be repeated.",
            ),
            click.option(
                "--config",
                type=click.Path(path_type=Path),
                help="Settings file.  [default: ./kodolly.yaml]",
            ),
        )
    ):
        command = option(command)
    return command


def site_of(controllers: tuple[str, ...], config: Path | None) -> "Site":
    """The controllers that are meant; what happens is told on stderr. Raises UserError."""
    from kodolly.clients.controller_access import find_controllers
    from kodolly.echo import echo_line
    from kodolly.operate.canary import Site

    return Site(find_controllers(controllers, config), config, lambda line: echo_line(line, err=True))


@click.command("deploy", epilog=EPILOG)
@click.argument("name")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("vllm_args", nargs=-1, type=click.UNPROCESSED)
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the new engine.  [default: a free one]")
@click.option(
    "--share",
    type=FiniteRange(LEAST_SHARE, 100 - LEAST_SHARE),
    metavar="PERCENT",
    help="Give the new checkpoint this part of NAME's traffic, as a canary.  [default: all]",
)
@click.option(
    "--sticky",
    type=click.Choice(get_args(Sticky)),
    default="user",
    show_default=True,
    help="With --share: what keeps somebody with one checkpoint.",
)
@wait_options
def command(
    name: str,
    checkpoint: Path,
    vllm_args: tuple[str, ...],
    port: int | None,
    share: float | None,
    sticky: Sticky,
    wait: WaitOptions,
) -> None:
    """Serve CHECKPOINT under the model name NAME in place of what does so now; no request fails.

    The new worker starts beside the old ones; they are drained when it is ready. If it does not become
    ready, it is stopped and nothing has changed. The new worker belongs to the `kodolly up` of this state
    directory, if one runs and its controller is asked; else it runs on in the background until `kodolly
    drain` stops it. Flags after
    `--` go to vLLM.

    With --share the old ones stay, and the new one answers that part of the traffic as NAME-canary until
    `kodolly promote` or `kodolly rollback`.
    """
    from kodolly.operate.canary import deploy_for_all, deploy_for_some
    from kodolly.operate.deploy import Deployment

    wanted = Deployment(name, checkpoint, port, vllm_args, wait.ready_timeout_s, wait.drain_timeout_s)
    site = wait.site()
    if share is None:
        deploy_for_all(site, wanted)
    else:
        deploy_for_some(site, wanted, share, sticky)
