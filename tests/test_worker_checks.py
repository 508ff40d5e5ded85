"""What a worker finds out before it starts an engine, and what it reads from a running one."""

import json
import os
import signal
import struct
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest

import worker.flags
import worker.health
from common.errors import UserError
from common.settings import load_settings
from tests.support.processes import free_port, running
from tests.support.worker_stage import scripted
from worker.adapters import adapter_flags, read_adapters
from worker.attach import attached_engine
from worker.engine import vllm_command
from worker.flags import capacity
from worker.health import EngineFailed, HealthWatch
from worker.model_dir import describe_model, named_cards, refuse_double_names
from worker.settings import WorkerSettings
from worker.supervisor import worker_id


def settings(**values: object) -> WorkerSettings:
    return load_settings(WorkerSettings, {"join_token": "t", **values})


def safetensors(length: int = 4) -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(length)


def needs_vllm() -> None:
    """Skips the test without it. Nothing of it is imported, which takes longer than all of these tests."""
    if find_spec("vllm") is None:
        pytest.skip("the engine is not installed")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    model = tmp_path / "my-model"
    model.mkdir()
    (model / "config.json").write_text('{"max_position_embeddings": 512, "dtype": "float32"}')
    (model / "model.safetensors").write_bytes(safetensors())
    return model


def test_a_checkpoint_of_others_is_described_by_its_config(checkpoint: Path) -> None:
    (card,) = describe_model(checkpoint)
    assert (card.name, card.context_length, card.dtype) == ("my-model", 512, "float32")
    both = describe_model(checkpoint, ["돌리/한국어 v1", "dolly"])
    assert [(card.name, card.context_length) for card in both] == [("돌리/한국어 v1", 512), ("dolly", 512)]


def test_a_checkpoint_that_sees_takes_images_unless_a_flag_forbids_it(checkpoint: Path) -> None:
    assert describe_model(checkpoint)[0].images is False
    (checkpoint / "config.json").write_text(
        '{"vision_config": {}, "architectures": ["XForConditionalGeneration"]}'
    )
    assert describe_model(checkpoint)[0].images is False  # nothing says how an image is brought into its form
    (checkpoint / "preprocessor_config.json").write_text("{}")
    assert describe_model(checkpoint)[0].images is True
    for flags in (["--language-model-only"], ["--limit-mm-per-prompt", '{"image": 0}']):
        assert describe_model(checkpoint, (), flags)[0].images is False
    for limit in ('{"image": 2}', "nonsense"):
        assert describe_model(checkpoint, (), [f"--limit-mm-per-prompt={limit}"])[0].images is True


@pytest.mark.parametrize("name", ["x" * 201, "", " ", "dolly ", "dol\nly", "\x1b[2J"])
def test_a_name_that_cannot_be_registered_is_refused(checkpoint: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be a model's name"):
        describe_model(checkpoint, ["dolly", name])
    with pytest.raises(UserError, match="cannot be a model's name"):
        named_cards([name])


@pytest.mark.parametrize("content", [safetensors(3), safetensors()[:20], b"", b"\xff" * 64])
def test_weights_that_are_cut_short_are_refused(checkpoint: Path, content: bytes) -> None:
    (checkpoint / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors is cut short"):
        describe_model(checkpoint)


def test_a_missing_shard_is_named(checkpoint: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"half a checkpoint: model-2\.safetensors is missing"):
        describe_model(checkpoint)


@pytest.mark.parametrize(
    "flag",
    [
        "--port",
        "--port=9",
        "--served-model-name",
        "--served_model_name",
        "--api-key",
        "--serv",
        "--lora-modules",
    ],
)
def test_flags_that_the_worker_sets_itself_are_refused(checkpoint: Path, flag: str) -> None:
    with pytest.raises(UserError, match="is set by the worker"):
        vllm_command(settings(), checkpoint, ["dolly"], [flag])


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--disable-log-stats"], "Load and drain"),
        (["--headless"], "answers nobody"),
        (["--ssl_keyfile=key.pem"], "plain HTTP"),
        (["--nnodes", "2", "--node-rank", "1"], "first node"),
        (["--nnodes", "2", "-r", "1"], "first node"),
    ],
)
def test_flags_with_which_a_worker_cannot_work_are_refused(
    checkpoint: Path, args: list[str], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        vllm_command(settings(), checkpoint, ["dolly"], args)


def test_ray_is_asked_for_before_an_engine_starts(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.flags, "find_spec", lambda _name: None)
    with pytest.raises(UserError, match="pip install"):
        vllm_command(settings(), checkpoint, ["dolly"], ["--distributed-executor-backend=ray"])


def test_flags_of_the_parallel_engines_pass_untouched(checkpoint: Path) -> None:
    needs_vllm()
    args = ["--tensor-parallel-size", "4", "-pp", "2", "--nnodes=2", "--node-rank=0", "--master-addr", "h"]
    command = vllm_command(settings(), checkpoint, ["dolly", "돌리"], args)
    assert list(command.argv[-len(args) :]) == args
    at = command.argv.index("--served-model-name")
    assert list(command.argv[at + 1 : at + 3]) == ["dolly", "돌리"]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], 0),
        (["--max-num-seqs", "32"], 32),
        (["--max_num_seqs=8", "-dp", "2"], 16),
        (["--max-num-seqs", "many"], 0),
        (["--max-num-seqs"], 0),
    ],
)
def test_the_capacity_is_what_the_flags_say(args: list[str], expected: int) -> None:
    assert capacity(args) == expected


def adapter(directory: Path, **config: object) -> Path:
    directory.mkdir()
    (directory / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": 8, "bias": "none", **config})
    )
    (directory / "adapter_model.safetensors").write_bytes(safetensors())
    return directory


CARD = {
    "template": "dolly",
    "template_hash": "h",
    "context_length": 1,
    "dtype": "bfloat16",
    "parameters": 1,
    "created": 5,
}


def test_adapters_have_cards_of_their_own_and_become_flags(checkpoint: Path, tmp_path: Path) -> None:
    trained = CARD | {"name": "x", "method": "qlora", "licence": "CC-BY-4.0"}
    small, large = adapter(tmp_path / "a"), adapter(tmp_path / "b", rank_pattern={"q": 40})
    (large / "kodolly-adapter.json").write_text(json.dumps({"card": trained}))
    base = describe_model(checkpoint, ["base"])[0]
    first, second = read_adapters([f"한국어={small}", f"b={large}"], base, checkpoint)
    assert (first.card.name, first.card.base, first.card.adapter) == ("한국어", "base", "한국어")
    assert (first.card.method, first.card.context_length) == ("lora", 512)
    assert (second.card.method, second.card.licence, second.card.context_length) == (
        "qlora",
        "CC-BY-4.0",
        512,
    )
    flags = adapter_flags([first, second])
    assert flags[:5] == ["--enable-lora", "--max-lora-rank", "64", "--max-loras", "2"]
    assert [json.loads(word)["name"] for word in flags[6:]] == ["한국어", "b"]
    assert adapter_flags([]) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"peft_type": "IA3"}, "is not a LoRA adapter"),
        ({"use_dora": True}, "has DoRA"),
        ({"modules_to_save": ["lm_head"]}, "whole modules"),
        ({"bias": "all"}, "trained biases"),
        ({"r": 1024}, "1 to 512"),
        ({"r": None}, "1 to 512"),
    ],
)
def test_adapters_that_cannot_be_served_are_refused(
    checkpoint: Path, tmp_path: Path, change: dict[str, object], words: str
) -> None:
    base = describe_model(checkpoint, ["base"])[0]
    with pytest.raises(UserError, match=words):
        read_adapters([f"a={adapter(tmp_path / 'a', **change)}"], base, checkpoint)


def test_an_adapter_of_another_base_or_without_weights_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    card = CARD | {"name": "one", "base_model": "two", "method": "lora", "licence": "MIT"}
    (checkpoint / "kodolly.json").write_text(json.dumps(card | {"base_model": None}))
    base = describe_model(checkpoint)[0]
    directory = adapter(tmp_path / "a")
    (directory / "kodolly-adapter.json").write_text(json.dumps({"card": card}))
    with pytest.raises(UserError, match="was trained on two, not on one"):
        read_adapters([f"a={directory}"], base, checkpoint)
    (directory / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match="missing or cut short"):
        read_adapters([f"a={directory}"], base, checkpoint)
    for word, said in ((f"a={tmp_path}", "is not a LoRA adapter"), ("a", "is not NAME=DIR")):
        with pytest.raises(UserError, match=said):
            read_adapters([word], base, checkpoint)


def test_a_name_may_stand_once(checkpoint: Path) -> None:
    with pytest.raises(UserError, match="given twice"):
        refuse_double_names(describe_model(checkpoint, ["a", "b", "a"]))


def test_the_engine_key_is_new_each_time_and_not_in_argv_and_no_other_secret_goes_with_it(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_vllm()
    for name in (
        "KODOLLY_JOIN_TOKEN",
        "KODOLLY_ADMIN_TOKEN",
        "KODOLLY_API_KEY",
        "UPSTAGE_API_KEY",
        "HF_TOKEN",
    ):
        monkeypatch.setenv(name, "a-secret")
    first, second = (
        vllm_command(settings(), checkpoint, ["dolly"], ["--max-model-len", "64"]) for _ in range(2)
    )
    assert first.key != second.key
    assert first.env["VLLM_API_KEY"] == first.key
    assert first.key not in [*first.argv, repr(first)]
    assert "a-secret" not in first.env.values()
    assert first.argv[-2:] == ["--max-model-len", "64"]


COMPACT = '{"backend": "xgrammar", "disable_any_whitespace": true}'


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], [COMPACT]),
        (["--max-model-len", "64"], [COMPACT]),
        (["--structured-outputs-config", "{}"], ["{}"]),
        (["--structured_outputs_config={}"], []),
        (["--structured-outputs-config.backend", "guidance"], []),
        (["--structured-out", "{}"], []),
        (["--config", "vllm.yaml"], []),
    ],
)
def test_json_is_kept_compact_unless_the_flags_say_otherwise(
    checkpoint: Path, args: list[str], expected: list[str]
) -> None:
    needs_vllm()
    argv = list(vllm_command(settings(), checkpoint, ["dolly"], args).argv)
    values = [value for flag, value in pairwise(argv) if flag == "--structured-outputs-config"]
    assert values == expected


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("0", "0"), ("", "1")])
def test_the_engine_keeps_responses_unless_told_not_to(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, expected: str
) -> None:
    needs_vllm()
    name = "VLLM_ENABLE_RESPONSES_API_STORE"
    monkeypatch.delenv(name, raising=False)
    if given is not None:
        monkeypatch.setenv(name, given)
    assert vllm_command(settings(), checkpoint, ["dolly"], []).env[name] == expected


def test_a_worker_on_all_addresses_must_say_how_it_is_reached() -> None:
    with pytest.raises(UserError, match="--advertise-url"):
        settings(host="0.0.0.0").url()
    reached = settings(host="0.0.0.0", advertise_url="http://10.0.0.7:21002/", port=9)
    assert (reached.url(), reached.local_url()) == ("http://10.0.0.7:21002", "http://127.0.0.1:9")
    assert settings(host="::1", port=9).url() == "http://[::1]:9"


@pytest.mark.parametrize("value", ["10.0.0.7:1", "ftp://x", "http://x/path", "http://u@x"])
def test_urls_that_are_none_are_refused(value: str) -> None:
    with pytest.raises(UserError, match=r"worker\.advertise_url"):
        settings(advertise_url=value)
    with pytest.raises(UserError, match=r"worker\.controllers"):
        settings(controllers=(value,))


def test_workers_at_two_addresses_have_two_ids() -> None:
    urls = ("http://10.0.0.7:21002", "http://10.0.0.8:21002", "http://[::1]:21002")
    assert [worker_id(url) for url in urls] == ["10.0.0.7-21002", "10.0.0.8-21002", "1-21002"]


@pytest.mark.parametrize("url", ["http://x:99999", "http://[::1", "http://x:port", "http://"])
def test_addresses_that_cannot_be_called_are_refused(url: str) -> None:
    with pytest.raises(UserError, match="is not an address"):
        attached_engine(url, None)
    with pytest.raises(UserError, match=r"worker\.advertise_url"):
        settings(advertise_url=url)


async def test_an_engine_that_answers_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ANSWER_LIMIT_S", 0.3), ("SILENCE_LIMIT_S", 0.5), ("LOOK_EVERY_S", 0.1)):
        monkeypatch.setattr(worker.health, name, value)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running(scripted(port), tmp_path / "engine.log", f"{url}/health") as process:
        try:
            with pytest.raises(EngineFailed, match="has not answered"):
                await HealthWatch(url, "k", ["dolly"]).follow(
                    lambda: os.kill(process.pid, signal.SIGSTOP), lambda _: None
                )
        finally:
            os.kill(process.pid, signal.SIGCONT)
