"""What a model is for is read from its checkpoint, and commands and pages go by it."""

from typing import Any

import pytest

from common.errors import UserError
from common.model_kind import ModelKind, kind_of
from common.registry import ModelCard
from common.status import Status, StatusModel
from kodolly.clients.ask import default_model, refuse_other_kinds
from webui.choices import default_pair, model_ids


@pytest.mark.parametrize(
    ("config", "flags", "kind"),
    [
        ({"architectures": ["GPTNeoXForCausalLM"]}, {}, "chat"),
        ({"architectures": ["Qwen2_5_VLForConditionalGeneration"]}, {}, "chat"),
        ({"architectures": ["GPT2LMHeadModel"]}, {}, "chat"),
        ({}, {}, "chat"),
        ({"architectures": ["BertModel"]}, {}, "embedding"),
        ({"architectures": ["XLMRobertaForMaskedLM"]}, {}, "embedding"),
        ({"architectures": ["BertForSequenceClassification"], "id2label": {"0": "a"}}, {}, "rerank"),
        ({"architectures": ["BertForSequenceClassification"], "num_labels": 7}, {}, "classifier"),
        ({"architectures": ["BertForSequenceClassification"]}, {}, "classifier"),
        ({"architectures": ["LlamaForCausalLM"]}, {"runner": "pooling"}, "embedding"),
        ({"architectures": ["LlamaForCausalLM"]}, {"convert": "classify"}, "classifier"),
        ({"architectures": "broken"}, {}, "chat"),
    ],
)
def test_the_kind_is_read_from_the_checkpoint_and_flags(
    config: dict[str, Any], flags: dict[str, str], kind: ModelKind
) -> None:
    assert kind_of(config, **flags) == kind


def test_a_kind_of_a_later_version_is_unknown_and_costs_nothing() -> None:
    assert ModelCard.model_validate({"name": "m", "kind": "video"}).kind is None
    assert ModelCard.model_validate({"name": "m"}).kind is None
    assert ModelCard.model_validate({"name": "m", "kind": "rerank"}).kind == "rerank"


def status_of(**kinds: ModelKind | None) -> Status:
    models = [
        StatusModel(id=name, kind="worker", state="ready", model_kind=kind) for name, kind in kinds.items()
    ]
    return Status(version="0", uptime_s=1, models=models, providers=[], controller_connected=True)


def test_questions_go_to_chat_models_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    status = status_of(guard="moderation", dolly="chat", other=None)
    assert default_model(status) == "dolly"
    monkeypatch.setattr("kodolly.clients.ask.fetch_status", lambda _gateway: status)
    refuse_other_kinds("", ["dolly", "other", "missing"])
    with pytest.raises(UserError, match="guard is no chat model.*moderation.*/v1/moderations"):
        refuse_other_kinds("", ["dolly", "guard"])
    with pytest.raises(UserError, match="No chat model is ready"):
        default_model(status_of(guard="moderation", vectors="embedding"))


def test_pages_offer_chat_models_alone() -> None:
    models = status_of(guard="moderation", dolly="chat", other=None).models
    assert model_ids(models) == ["dolly", "other"]
    assert "guard" not in default_pair(models, [])
