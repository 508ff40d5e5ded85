"""`GET /v1/status` of the gateway: what the web UI, the command line and doctor show of a running stack.

Answered from memory; it never waits for a worker or a provider.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from common.model_kind import ModelKind, known_kind
from common.registry import WorkerState

FeedbackText = Literal["none", "rated", "all"]
"""What a gateway keeps of conversations: nobody's words, those that come with feedback, or all."""


class StatusModel(BaseModel):
    """One model name a client may ask for."""

    model_config = ConfigDict(extra="ignore")
    id: str
    kind: Literal["worker", "external"]
    provider: str | None = None
    """For kind `external`: the name under `gateway.external` in kodolly.yaml, e.g. `openai`."""
    state: WorkerState
    progress: float = 1.0
    """0 to 1 while loading."""
    detail: str = ""
    """Why it is not ready, in words for people; never a URL or a path."""
    workers: int = 0
    """How many workers serve it right now."""
    running: int = 0
    waiting: int = 0
    last_seen_s: float | None = None
    """Seconds since the last sign of life of its freshest worker; None when the gateway has had none."""
    model_kind: Annotated[ModelKind | None, BeforeValidator(known_kind)] = None
    """What it is for; None when unknown. Only chat models and unknown ones can be asked questions."""
    images: bool | None = None
    """Whether it takes images beside text; None when unknown."""
    base: str | None = None
    method: str | None = None
    licence: str | None = None
    template: str | None = None
    template_hash: str | None = None
    context_length: int | None = None
    dtype: str | None = None
    parameters: int | None = None
    checkpoint: str | None = None
    """Id of the weights that answer (common.checkpoint_identity); of several, the first worker's."""

    @property
    def may_chat(self) -> bool:
        """Whether it can be asked questions, as far as is known."""
        return self.model_kind in (None, "chat")


class StatusProvider(BaseModel):
    """An external provider from the settings, with or without a key."""

    model_config = ConfigDict(extra="ignore")
    name: str
    configured: bool
    """True when its key is present. Its models are listed only then."""
    key_env: str
    """The environment variable to put the key into."""
    models: list[str]
    hidden: list[str] = []
    """Names among them that are the house's own: requests for these go to workers, never here."""


class Status(BaseModel):
    """The whole answer."""

    model_config = ConfigDict(extra="ignore")
    version: str
    uptime_s: float
    models: list[StatusModel]
    providers: list[StatusProvider]
    controller_connected: bool
    feedback_store: FeedbackText | None = None
    """None: the gateway is of a version that does not say."""
