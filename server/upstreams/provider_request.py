"""What a provider's models refuse, and a request's body without it.

The table goes by the name of the model, whatever the provider is called: the same model is offered by OpenAI,
Azure and others. Sources: OpenAI's guides to reasoning models and to GPT-5.
"""

import logging
import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from pydantic import SecretStr

from server.client.routes import CHAT, RESPONSES, Route
from server.client.splice import JsonObject
from server.proxy import Proxy
from server.settings import ExternalProvider
from server.upstreams.connect import authorization_line

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Family:
    """Models that refuse the same parameters."""

    names: re.Pattern[str]
    drop: tuple[str, ...]
    rename: tuple[tuple[str, str], ...] = ()
    """(name in a chat request, name that the models know)."""


SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias")
FAMILIES = (
    Family(
        re.compile(r"(?:.*/)?(?:gpt-5(?!-chat)|o[1-9](?![0-9A-Za-z]))", re.IGNORECASE),
        (*SAMPLING, "logprobs", "top_logprobs", "stop"),
        (("max_tokens", "max_completion_tokens"),),
    ),
)
"""gpt-5 and the o-series think before they answer; gpt-5-chat does not and takes everything."""
OPENAI_RENAMES = (("max_tokens", "max_completion_tokens"),)
"""At OpenAI itself the old name is deprecated for every model."""


@dataclass(frozen=True, slots=True)
class BodyEdits:
    """What is done to the body of a request."""

    drop: tuple[str, ...]
    rename: tuple[tuple[str, str], ...]


def edits_for(provider: ExternalProvider, model: str) -> BodyEdits:
    """The settings of the provider, and what is known of the model's family; the settings win."""
    return _edits(provider.drop_params, tuple(provider.rename_params.items()), provider.base_url, model)


@lru_cache(maxsize=1000)
def _edits(
    drop: tuple[str, ...], rename: tuple[tuple[str, str], ...], base_url: str, model: str
) -> BodyEdits:
    renames = dict(OPENAI_RENAMES) if is_openai(base_url) else {}
    for family in FAMILIES:
        if family.names.match(model):
            drop += family.drop
            renames |= dict(family.rename)
    return BodyEdits(tuple(dict.fromkeys(drop)), tuple((renames | dict(rename)).items()))


def is_openai(base_url: str) -> bool:
    """Whether this is OpenAI's own service rather than a compatible one."""
    host = urlsplit(base_url).hostname or ""
    return host == "api.openai.com" or host.endswith(".api.openai.com")


def provider_head(
    method: bytes, path: bytes, provider: ExternalProvider, key: SecretStr, proxy: Proxy | None
) -> bytes:
    """Request line and headers of every request to `path` (as the gateway calls it), without the empty line.

    The base URL carries the version path itself, and perhaps a query.
    """
    base = urlsplit(provider.base_url)
    own_query = [f"api-version={provider.api_version}"] if provider.api_version else []
    query = "&".join(filter(None, [base.query, *own_query]))
    at = base.path.rstrip("/").encode() + path.removeprefix(b"/v1") + (f"?{query}".encode() if query else b"")
    lines = b""
    if proxy is not None and base.scheme == "http":  # the proxy must see where it goes (RFC 9112, 3.2.2)
        at = f"http://{base.netloc}".encode() + at
        lines = authorization_line(proxy)
    head = b"%b %b HTTP/1.1\r\nhost: %b\r\naccept-encoding: identity\r\n" % (method, at, base.netloc.encode())
    given = {name.lower(): value for name, value in provider.headers.items()}
    if provider.key_header == "api-key":
        given["api-key"] = key.get_secret_value()
    else:
        given["authorization"] = f"Bearer {key.get_secret_value()}"
    return head + lines + b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in given.items())


def adapt(body: JsonObject, provider: ExternalProvider, model: str, route: Route) -> None:
    """Turn a request's body into one that `model` of `provider` accepts."""
    if route not in (CHAT, RESPONSES):
        return
    edits = edits_for(provider, model)
    for name in edits.drop:
        if name in body:
            body.remove(name)
            _tell_once(provider.name, model, name)
    if route is CHAT:
        for old, new in edits.rename:
            if old == new:
                continue
            if new in body:  # with both names given, the new one counts
                body.remove(old)
            else:
                body.rename(old, new)


@lru_cache(maxsize=1000)
def _tell_once(provider: str, model: str, name: str) -> None:
    logger.info("provider %s: requests to %s are sent without `%s`, which it refuses", provider, model, name)
