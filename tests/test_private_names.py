"""Names that libraries do not promise and that we build on: each is there, and no untried version gets in."""

import importlib
import importlib.util
import inspect
import tomllib
from pathlib import Path

import httpcore2
import httpx2
import pytest

HTTP_PROTOCOL = "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol"
OVERRIDDEN = {
    HTTP_PROTOCOL: (
        "_start_asgi_task",
        "on_message_begin",
        "on_headers_complete",
        "on_body",
        "on_message_complete",
        "timeout_keep_alive_handler",
    ),
    "uvicorn.protocols.http.flow_control:FlowControl": ("resume_reading", "pause_reading", "drain"),
    "uvicorn:Server": ("handle_exit", "startup", "shutdown"),
}
HEAVY = {
    "transformers:Trainer": ("_get_train_sampler", "_run_epoch", "_save_checkpoint"),
    "transformers:AutoModelForCausalLM": ("_model_mapping",),
    "transformers:PreTrainedModel": ("_supports_flash_attn", "_supports_sdpa"),
    "trl.trainer.dpo_trainer:DPOTrainer": ("_prepare_dataset",),
    "trl.trainer.kto_trainer:KTOTrainer": ("_prepare_dataset", "_get_train_sampler"),
    "peft.tuners.lora.layer:LoraLayer": ("update_layer",),
    "peft.tuners.lora.layer:ParamWrapper": ("get_delta_weight",),
    "peft.tuners.lora.variants:DoraLinearVariant": ("merge_safe",),
    "peft.utils.transformers_weight_conversion:convert_peft_adapter_state_dict_for_transformers": (),
    "lm_eval.tasks._factory:TaskFactory": ("build",),
    "lm_eval.tasks._yaml_loader:load_yaml": (),
}
BOUNDED = ("uvicorn", "transformers", "trl", "peft", "lm-eval", "gradio", "httpx2", "httpcore2")


def check(place: str, names: tuple[str, ...]) -> None:
    module, _, owner = place.partition(":")
    found = getattr(importlib.import_module(module), owner)
    gone = [name for name in names if not hasattr(found, name)]
    assert not gone, f"{place} has no {gone} any more: see what replaces it before the bound is raised"


@pytest.mark.parametrize("place", OVERRIDDEN)
def test_what_the_servers_override_is_there(place: str) -> None:
    check(place, OVERRIDDEN[place])


def test_attributes_of_uvicorns_connections_are_there() -> None:
    """They are set in the constructor, which alone names them."""
    module, _, owner = HTTP_PROTOCOL.partition(":")
    source = inspect.getsource(getattr(importlib.import_module(module), owner))
    for name in (
        "cycle",
        "loop",
        "pipeline",
        "scope",
        "server_state",
        "timeout_keep_alive",
        "transport",
        "url",
    ):
        assert f"self.{name}" in source, f"uvicorn's protocol has no {name} any more"


def test_the_pool_of_httpx2s_transport_can_be_another() -> None:
    assert isinstance(vars(httpx2.AsyncHTTPTransport())["_pool"], httpcore2.AsyncConnectionPool)


@pytest.mark.slow
@pytest.mark.parametrize("place", HEAVY)
def test_what_training_and_merging_override_is_there(place: str) -> None:
    check(place, HEAVY[place])


@pytest.mark.parametrize("library", BOUNDED)
def test_a_library_whose_private_names_are_used_has_an_upper_bound(library: str) -> None:
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    extras = project["optional-dependencies"].values()
    asked = [*project["dependencies"], *(one for extra in extras for one in extra)]
    (bound,) = [one for one in asked if one.partition(">=")[0].partition("[")[0] == library]
    assert ",<" in bound, bound


GRADIO = {
    "queueing.py": (
        "self.sleep_when_free = ",
        "self.progress_update_sleep_when_free = ",
        "await asyncio.sleep(self.sleep_when_free)",
    ),
    "blocks.py": (
        "    async def postprocess_data(\n"
        "        self,\n"
        "        block_fn: BlockFunction,\n"
        "        predictions: list | dict,\n"
        "        state: SessionState | None,\n",
        "data = await self.postprocess_data(",
    ),
    "state_holder.py": (
        "    def set_blocks(self, blocks: Blocks):",
        "    def __getitem__(self, session_id: str) -> SessionState:",
        "    def __contains__(self, session_id: str):",
        "    def __setitem__(self, key: int, value: Any):",
        "    def _update_config(self, key: int):",
        "    def _update_value_in_config(self, key: int, value: Any):",
    ),
    "routes.py": ("self.state_holder = StateHolder()", "app.state_holder[body.session_hash]"),
}
"""Its source alone is read: importing Gradio takes seconds."""


@pytest.mark.parametrize("file", GRADIO)
def test_what_the_pages_override_of_gradio_is_there(file: str) -> None:
    spec = importlib.util.find_spec("gradio")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    (folder,) = spec.submodule_search_locations
    source = (Path(folder) / file).read_text(encoding="utf-8")
    assert [line for line in GRADIO[file] if line not in source] == []
