"""Which models a page offers and which it starts with."""

from collections.abc import Sequence

from common.feedback import Sampling
from common.status import StatusModel, StatusProvider
from webui.conversation import Setup

Pair = tuple[str | None, str | None]

# Small fine-tuned models wander at high temperatures; a comparison wants what they learned.
WORKER_SAMPLING = Sampling(temperature=0.2, top_p=1.0, max_tokens=512)
# The API's own values: several of OpenAI's models refuse any other temperature.
EXTERNAL_SAMPLING = Sampling(temperature=1.0, top_p=1.0, max_tokens=512)


def default_sampling(model: StatusModel | None) -> Sampling:
    """What the sliders start with. An answer may fill half of the context: the question must fit as well."""
    sampling = EXTERNAL_SAMPLING if model is not None and model.kind == "external" else WORKER_SAMPLING
    if model is None or model.context_length is None:
        return sampling
    most = max(min(sampling.max_tokens, model.context_length // 2), 1)
    return sampling.model_copy(update={"max_tokens": most})


def fresh_setup(model_id: str, known: StatusModel | None) -> Setup:
    """A model with the settings that its kind starts with."""
    external = known is not None and known.kind == "external"
    return Setup(model=model_id, external=external, sampling=default_sampling(known))


def model_ids(models: Sequence[StatusModel], *kept: str | None) -> list[str]:
    """What a picker lists: every known model that can chat, and what shall stay in it although it has gone.

    Open pages keep what they listed: Gradio's dropdown breaks when its list shrinks while it is open.
    """
    return list(
        dict.fromkeys([model.id for model in models if model.may_chat] + [name for name in kept if name])
    )


def default_models(
    models: Sequence[StatusModel], providers: Sequence[StatusProvider], count: int
) -> tuple[str | None, ...]:
    """As many as there are panes at the start: the pair, and behind it what is not chosen yet."""
    chosen: list[str | None] = list(default_pair(models, providers))
    while len(chosen) < count:
        chosen.append(another_model(models, chosen))
    return tuple(chosen)


def another_model(models: Sequence[StatusModel], chosen: Sequence[str | None]) -> str | None:
    """For one more pane: the first model that is in no other, else the last pane's."""
    return next((name for name in model_ids(models) if name not in chosen), chosen[-1])


def default_pair(models: Sequence[StatusModel], providers: Sequence[StatusProvider]) -> Pair:
    """Left and right at the start: ChatGPT and the tuned model; without a provider base and tuned."""
    models = [model for model in models if model.may_chat]
    workers = [model for model in models if model.kind == "worker"]
    workers.sort(key=lambda model: model.state != "ready")
    tuned = next((model for model in workers if model.base), None)
    right = tuned.id if tuned else next((model.id for model in workers), None)
    listed = [model.id for model in models]
    for provider in providers:
        offered = [name for name in provider.models if provider.configured and name in listed]
        if offered:
            others = (name for name in listed if name != offered[0])
            return offered[0], right or next(others, offered[0])
    if tuned and tuned.base in listed:
        return tuned.base, right
    return next((name for name in listed if name != right), right), right
