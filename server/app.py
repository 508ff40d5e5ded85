"""The gateway's ASGI app: inference paths go to the raw relay, all else to FastAPI."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.types import Message, Receive, Scope, Send

from common.background import Background
from common.doors import Doors
from common.guard import Guard
from common.guarded_app import GuardedApp
from common.http import install_error_handlers
from common.own_hosts import is_loopback
from common.private_files import make_state_directory
from server.accounts.entrance import FOREIGN_ROUTES, admission, gateway_guard
from server.api import admin, feedback, fleet, leaderboard, reviews, turns
from server.api import public as api
from server.api.documents import documents_router
from server.api.openapi import with_relayed_routes
from server.client.protocol import open_connections
from server.client.request import request_id
from server.client.routes import NoRoute, is_relayed
from server.gateway import Gateway
from server.inference.model_queues import ModelQueues
from server.inference.relay import Relay
from server.settings import GatewaySettings, provider_keys, provider_proxies
from server.upstreams.connection import ConnectionPool
from server.upstreams.controllers import Controllers
from server.upstreams.directory import Directory
from server.upstreams.status import breaker_states

if TYPE_CHECKING:
    import httpx2

    from common.database import StoreHealth
    from server.accounts.accounts import Accounts
    from server.accounts.keys import Key
    from server.inference.conversation_log import ConversationLog
    from server.store.answered import RecentAnswers
    from server.store.conversations import ConversationStore
    from server.store.feedback import FeedbackStore
    from server.store.opening import GatewayStore
    from server.telemetry.families import LiveValues

logger = logging.getLogger(__name__)

ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

PREVIEW_TIMEOUT_S = 10.0
FIRST_WORD_S = 2.0
"""How long a start waits for controllers, which may be away for long."""
FIRST_LOOK_S = 10.0
"""The same for static workers: one that is away is known to be so at once, however slow this machine is."""
SWEEP_S = 5.0
"""How often idle connections and workers without a word are looked through."""


@dataclass(slots=True)
class _Running:
    """What every request needs at hand: a look-up in the app's state costs some microseconds."""

    gateway: Gateway = field(init=False)
    """From the lifespan's start."""


def create_app(settings: GatewaySettings, process: int = 0) -> ASGIApp:
    """The gateway. Nothing runs before the lifespan starts. `process` is its number among the gateway's."""

    running = _Running()

    def accounts() -> "Accounts":
        return running.gateway.accounts

    guard = gateway_guard(settings, accounts)
    app = FastAPIOffline(
        title="kodolly gateway",
        description="OpenAI-compatible API in front of vLLM workers and external providers.",
        lifespan=_lifespan(settings, process, guard, running),
    )
    install_error_handlers(app, no_route=NoRoute)
    described = app.openapi
    app.openapi = lambda: app.openapi_schema or with_relayed_routes(described())  # type: ignore[method-assign]
    app.include_router(api.public)
    app.include_router(api.router)
    app.include_router(feedback.router)
    app.include_router(documents_router(settings))
    app.include_router(leaderboard.router)
    app.include_router(admin.router)
    app.include_router(admin.own)
    app.include_router(fleet.router)
    app.include_router(reviews.router)
    app.include_router(turns.router)

    guarded = GuardedApp(app, Doors(app.routes, FOREIGN_ROUTES), guard, admission(accounts))

    async def gateway_app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
        elif is_relayed(scope["path"]):
            await running.gateway.relay(scope, receive, send)  # asks the guard by itself
        else:
            await guarded(scope, receive, _with_request_id(scope, send))

    return gateway_app


def _lifespan(
    settings: GatewaySettings,
    process: int,
    guard: "Guard[Key]",
    running: _Running,
) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(make_state_directory, settings.state_dir)
        async with _gateway(settings, process, guard) as gateway, Background() as background:
            running.gateway = app.state.gateway = gateway
            _start_background(background, gateway, settings)
            await _first_word(gateway.directory, settings)
            yield

    return lifespan


@asynccontextmanager
async def _gateway(settings: GatewaySettings, process: int, guard: "Guard[Key]") -> AsyncIterator[Gateway]:
    """Everything that a process has from its start to its end, wired together."""
    # Imported when the app starts: together they cost more than all that `import server.app` needs.
    from server.store.answered import RecentAnswers
    from server.store.conversations import ConversationStore
    from server.store.opening import open_store
    from server.store.turns import ImprovementTurns
    from server.telemetry.observability import observing

    directory = _directory(settings)
    queues = ModelQueues(settings, directory)
    directory.listeners.append(queues.release_all)
    async with contextlib.AsyncExitStack() as closing:
        store = await closing.enter_async_context(open_store(settings.store_url()))
        http = await closing.enter_async_context(_http_client())
        log = _conversation_log(conversations := ConversationStore(store.database), settings, closing)
        live = _live_values(directory, queues, store.database.health, log)
        observability = await closing.enter_async_context(
            observing(settings, live, process, settings.processes)
        )
        accounts = await _started_accounts(store, settings, closing)
        pool = closing.enter_context(contextlib.closing(ConnectionPool(settings.connect_timeout_s)))
        sinks = (*observability.sinks, (answered := RecentAnswers()).observe)
        yield Gateway(
            directory=directory,
            http=http,
            controllers=_controllers(settings, http),
            feedback=_feedback(store, settings, answered, log),
            turns=ImprovementTurns(store.database),
            conversations=conversations,
            relay=Relay(
                settings, directory, pool, accounts, queues, guard, sinks, log, bool(observability.tracer)
            ),
            accounts=accounts,
            admin_token=settings.admin_token,
            observability=observability,
            started=time.monotonic(),
        )


def _http_client() -> "httpx2.AsyncClient":
    import httpx2

    # trust_env=False: a proxy variable must not send cluster traffic elsewhere.
    return httpx2.AsyncClient(trust_env=False, timeout=PREVIEW_TIMEOUT_S)


def _controllers(settings: GatewaySettings, http: "httpx2.AsyncClient") -> Controllers:
    return Controllers(settings.controllers, settings.join_token.get_secret_value(), http)


def _feedback(
    store: "GatewayStore", settings: GatewaySettings, answered: "RecentAnswers", log: "ConversationLog | None"
) -> "FeedbackStore":
    from server.store.feedback import FeedbackStore, Policy

    policy = Policy(settings.feedback_store, settings.feedback_held_out)
    return FeedbackStore(store.database, policy, answered, log.of_request if log is not None else None)


def _conversation_log(
    store: "ConversationStore", settings: GatewaySettings, closing: contextlib.AsyncExitStack
) -> "ConversationLog | None":
    """What is written for the last time when the gateway closes; None where no conversation is kept."""
    if settings.feedback_store != "all":
        return None
    from server.inference.conversation_log import ConversationLog

    log = ConversationLog(store, settings.feedback_days)
    closing.push_async_callback(log.flush)
    return log


async def _started_accounts(
    store: "GatewayStore", settings: GatewaySettings, closing: contextlib.AsyncExitStack
) -> "Accounts":
    from server.accounts.accounts import Accounts
    from server.accounts.prices import Prices

    accounts = Accounts(
        store,
        settings.api_keys,
        required=settings.require_keys,
        documents_token=settings.documents_token.get_secret_value(),
        prices=Prices(settings.prices, settings.currency),
    )
    closing.push_async_callback(accounts.close)
    await accounts.follow_keys()
    _tell_of_open_doors(settings, accounts)
    return accounts


def _directory(settings: GatewaySettings) -> Directory:
    return Directory(
        settings.providers(),
        provider_keys(settings),
        proxies=provider_proxies(settings),
        configured=(*settings.aliases, *(model.name for model in settings.static)),
    )


def _live_values(
    directory: Directory, queues: ModelQueues, store: "StoreHealth", log: "ConversationLog | None"
) -> "LiveValues":
    from server.telemetry.families import LiveValues

    return LiveValues(
        directory,
        queue_depths=queues.depths,
        breaker_states=partial(breaker_states, directory),
        client_connections=open_connections,
        traces_dropped=lambda: 0,  # `observing` knows the tracer, if there is one
        store=store,
        conversations=lambda: log.counts if log is not None else {},
    )


def _start_background(background: Background, gateway: Gateway, settings: GatewaySettings) -> None:
    """All that runs beside the requests; one that dies is logged and started again."""
    from server.upstreams.documents import follow_documents
    from server.upstreams.follow import follow_controllers
    from server.upstreams.probe import probe_workers
    from server.upstreams.static import watch_static

    directory, http = gateway.directory, gateway.http
    background.start("following the controllers", partial(follow_controllers, directory, settings))
    background.start("keeping accounts", gateway.accounts.run)
    if (log := gateway.relay.conversations) is not None:
        background.start("keeping conversations", log.run)
    background.start("watching static workers", partial(watch_static, directory, settings.static, http))
    if settings.documents_url is not None:
        background.start(
            "following the documents service", partial(follow_documents, directory, settings, http)
        )
    background.start("probing workers", partial(probe_workers, directory, http))
    background.start("closing idle connections", partial(_sweep, gateway.relay.pool, directory))
    background.start("measuring the event loop's lag", gateway.observability.metrics.measure_loop_lag)


def _tell_of_open_doors(settings: GatewaySettings, accounts: "Accounts") -> None:
    """Nobody should learn from a bill that the gateway asked nobody for a key."""
    if accounts.required or is_loopback(settings.host):
        return
    logger.warning(
        "NO KEY IS ASKED FOR, and %s can be reached from other machines: whoever reaches it may use every"
        " model, also a provider's that you pay for. Make a key with `kodolly keys create NAME`, set"
        " require_keys, or listen on 127.0.0.1.",
        settings.host,
    )


async def _first_word(directory: Directory, settings: GatewaySettings) -> None:
    """Take no requests before the workers are known: a restart must answer nobody 404. But start anyway."""

    def heard() -> bool:
        return not settings.controllers or directory.version >= 0

    def looked() -> bool:
        urls = {worker.reported.url for worker in directory.static.values() if worker.state != "loading"}
        return urls.issuperset(model.url for model in settings.static)  # the documents service is there, too

    for known, limit_s in ((heard, FIRST_WORD_S), (looked, FIRST_LOOK_S)):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while not known():
                    await asyncio.sleep(0.02)


async def _sweep(pool: ConnectionPool, directory: Directory) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        pool.close_idle()
        directory.forget_unconfirmed()


def _with_request_id(scope: Scope, send: Send) -> Send:
    rid = request_id(scope).encode()

    async def send_with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", rid)]
        await send(message)

    return send_with_id
