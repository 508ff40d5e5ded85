"""Options of the conformance suite, and the endpoint that every check gets."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import openai
import pytest

from tests.support.conformance.differential import Service
from tests.support.conformance.endpoint import CAPABILITIES, Endpoint, Engine
from tests.support.conformance.stacks import scripted_stack, vllm_stack

if TYPE_CHECKING:
    import anthropic

KNOWN_FAILURES: dict[str, str] = {}
"""What our own gateway does not keep yet: beginning of a check's name, less the kind of stack -> why. A pass
fails the run, so that this list cannot go stale."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance", "the wire contract, against any OpenAI-compatible URL")
    group.addoption("--base-url", metavar="URL", help="with /v1; without it, our own gateway is started")
    group.addoption("--api-key", default="none", help="key for --base-url")
    group.addoption("--model", help="a chat model that --base-url serves")
    group.addoption("--model-embed", help="a model of embeddings that --base-url serves")
    group.addoption("--alias", help="another name of --model there")
    group.addoption("--limited-key", help="a key there that has limits on requests and tokens")
    group.addoption("--restricted-key", help="a key there that may not use --model")
    group.addoption("--spent-key", help="a key there whose budget is used up")
    group.addoption("--asks-for-keys", action="store_true", help="requests without the key are refused there")
    group.addoption(
        "--expect-no",
        action="append",
        default=[],
        metavar="CAPABILITY",
        help=f"what the model or its engine there cannot do; one of {', '.join(CAPABILITIES)}",
    )
    group.addoption(
        "--engine",
        action="append",
        default=[],
        metavar="URL",
        help="a tests.support.scripted_engine behind --base-url, for checks that make it fail; repeatable",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "endpoint" not in metafunc.fixturenames:
        return
    slow = (pytest.mark.slow, pytest.mark.timeout(900))
    own = ["scripted", pytest.param("vllm", marks=slow)]
    given = metafunc.config.getoption("base_url", None)
    metafunc.parametrize("endpoint", ["external"] if given else own, indirect=True, scope="package")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        check, own, parameters = re.sub(r"\[(scripted|vllm)-?", "[ours]", item.name).partition("[ours]")
        for name, reason in KNOWN_FAILURES.items():
            if own and f"{check}[{parameters}".startswith(name):
                item.add_marker(pytest.mark.xfail(strict=True, reason=reason))


@pytest.fixture(scope="package")
def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """The service under test."""
    if request.param == "external":
        yield external(request.config)
    else:
        stack = scripted_stack if request.param == "scripted" else vllm_stack
        with stack(tmp_path_factory.mktemp("conformance")) as started:
            yield started


def external(config: pytest.Config) -> Endpoint:
    """What the options describe."""
    model = config.getoption("model")
    if not model:
        raise pytest.UsageError("--base-url needs --model")
    lacks = dict.fromkeys(config.getoption("expect_no"), "--expect-no says so")
    if unknown := set(lacks) - set(CAPABILITIES):
        raise pytest.UsageError(f"--expect-no knows {', '.join(CAPABILITIES)}; not {', '.join(unknown)}")
    if not config.getoption("model_embed"):
        for name in ("embeddings", "dimensions", "score", "rerank", "pooling", "classify"):
            lacks.setdefault(name, "no --model-embed")
    serving = {Engine(url.rstrip("/")).model(): url.rstrip("/") for url in config.getoption("engine")}
    return Endpoint(
        base_url=str(config.getoption("base_url")).rstrip("/"),
        model=model,
        api_key=config.getoption("api_key"),
        model_embed=config.getoption("model_embed"),
        alias=config.getoption("alias"),
        limited_key=config.getoption("limited_key"),
        restricted_key=config.getoption("restricted_key"),
        spent_key=config.getoption("spent_key"),
        asks_for_keys=config.getoption("asks_for_keys"),
        lacks=lacks,
        engines=tuple(Engine(url) for name, url in serving.items() if name == model),
        direct={name: Service(url, "") for name, url in serving.items()},
    )


@pytest.fixture(autouse=True)
def behaving(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every check begins with engines that behave and a service that trusts them."""
    if "endpoint" not in request.fixturenames:
        yield
        return
    endpoint: Endpoint = request.getfixturevalue("endpoint")
    yield
    endpoint.heal()
    if endpoint.outside is not None:
        endpoint.outside.script()


@pytest.fixture
def client(endpoint: Endpoint) -> Iterator[openai.OpenAI]:
    """The official OpenAI client."""
    with endpoint.openai() as made:
        yield made


@pytest.fixture
def claude(endpoint: Endpoint) -> "Iterator[anthropic.Anthropic]":
    """The official Anthropic client."""
    endpoint.need("messages")
    with endpoint.anthropic() as made:
        yield made
