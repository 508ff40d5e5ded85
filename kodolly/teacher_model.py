"""The model that writes training rows: where it is served, and whether its answers may be trained on."""

import functools
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import httpx2

from common.errors import UserError
from kodolly.clients.gateway_access import DEFAULT_URL, auth_headers, fetch_status, gateway_key
from kodolly.echo import echo_line
from kodolly.eval_target import require_libraries
from kodolly.feedback_sources import sources_of

if TYPE_CHECKING:
    from common.status import Status
    from finetune.eval.served_model import ServedModel
    from finetune.synthetic.authorship import Authorship
    from finetune.synthetic.teacher import Teacher

OWN_ENGINES = frozenset({"vllm", "sglang", "kodolly"})
"""What engines that people run themselves write into `owned_by` of GET /v1/models."""


@dataclass(frozen=True)
class Teaching:
    """What was given of the model that writes."""

    model: str
    url: str
    allowed: tuple[str, ...]
    licence: str | None
    concurrency: int


_OPTIONS = (
    click.option("--concurrency", type=click.IntRange(1), default=8, show_default=True, help="At once."),
    click.option("--licence", help="The model's licence, for meta.licence, where nothing else tells it."),
    click.option(
        "--with", "allowed", multiple=True, metavar="MODEL", help="Train on this provider's answers."
    ),
    click.option(
        "--url",
        default=DEFAULT_URL,
        show_default=True,
        help="The gateway, or another OpenAI-compatible server; its key: KODOLLY_API_KEY.",
    ),
    click.option("--model", required=True, metavar="NAME", help="The served model that writes."),
)


def teacher_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--model, --url, --with, --licence and --concurrency; the command gets them as `teaching`."""

    @functools.wraps(command)
    def with_teaching(
        model: str, url: str, allowed: tuple[str, ...], licence: str | None, concurrency: int, **others: Any
    ) -> Any:
        return command(teaching=Teaching(model, url, allowed, licence, concurrency), **others)

    decorated: Callable[..., Any] = with_teaching
    for option in _OPTIONS:
        decorated = option(decorated)
    return decorated


@contextmanager
def opened_teacher(teaching: Teaching, journal: Path) -> Iterator[tuple["Teacher", "Authorship"]]:
    """The model, ready to be asked, and what its rows say of it, until the block ends. Raises UserError, also
    for a provider's model that was not allowed by name."""
    require_libraries("numpy")
    from finetune.eval.served_model import ServedModel
    from finetune.progress import terminal_report
    from finetune.synthetic.teacher import Teacher

    with closing(ServedModel(teaching.url, teaching.model, gateway_key(), teaching.concurrency)) as served:
        served.check()
        author = _author(served, teaching)
        yield Teacher(served, journal, terminal_report(), teaching.concurrency), author


def show_use(teacher: "Teacher") -> None:
    """How much was asked, as the server counted it."""
    tokens = teacher.tokens
    echo_line(
        f"{teacher.asked:,} requests of this run; {tokens['prompt']:,} prompt tokens and "
        f"{tokens['completion']:,} answer tokens with those of earlier ones ({teacher.journal}).",
        err=True,
    )


def _author(served: "ServedModel", teaching: Teaching) -> "Authorship":
    from finetune.synthetic.authorship import Authorship

    model, url = teaching.model, teaching.url
    status = _status_of_gateway(url)
    if status is None:
        owner = _owner(served)
        if owner not in OWN_ENGINES and model not in teaching.allowed:
            raise _forbidden(model, url)
        terms = "unknown" if owner in OWN_ENGINES else f"terms of {owner or url}"
        return Authorship(model, teaching.licence or terms)
    sources = sources_of(url.rstrip("/").removesuffix("/v1"), (), teaching.allowed)
    if model in sources.external and model not in sources.allowed:
        raise _forbidden(model, "its provider")
    known = next((one for one in status.models if one.id == model), None)
    if known is None:
        return Authorship(model, teaching.licence or "unknown")
    terms = f"terms of {known.provider}" if known.kind == "external" else known.licence or "unknown"
    return Authorship(model, teaching.licence or terms, known.checkpoint)


def _forbidden(model: str, where: str) -> UserError:
    return UserError(
        f"The terms of {where} may forbid training on answers of {model}.",
        hint=f"If you know that you may, say so: --with {model}.",
    )


def _status_of_gateway(url: str) -> "Status | None":
    """None where another server than a gateway answers."""
    root = url.rstrip("/").removesuffix("/v1")
    try:
        found = httpx2.get(f"{root}/v1/status", headers=auth_headers(), timeout=5.0, trust_env=False)
    except httpx2.HTTPError:
        return None
    return fetch_status(root) if found.status_code in (200, 401, 403) and _is_gateway(found) else None


def _is_gateway(answer: httpx2.Response) -> bool:
    try:
        body = answer.json()
    except ValueError:
        return False
    return answer.status_code != 200 or (isinstance(body, dict) and "providers" in body)


def _owner(served: "ServedModel") -> str:
    """`owned_by` of the model's entry; "" where the server does not say."""
    return str(served.entry().get("owned_by") or "").lower()
