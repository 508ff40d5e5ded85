"""The Kubernetes manifests against the official schemas, and the flags of others against their programs."""

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate.utils
import pytest
from jsonschema.validators import Draft202012Validator
from referencing import Registry, Resource

from tests.support.kubernetes_files import RENDERED, STACKS, Manifest, of_kind, pods, render

OLDEST = "1.30"
"""The preStop hook `sleep` is there, without a switch, since this version."""
CUSTOM = {"LeaderWorkerSet", "ScaledObject", "ServiceMonitor", "PrometheusRule"}
"""Kinds whose schemas are not part of Kubernetes."""


@functools.cache
def schemas(version: str) -> tuple[Path, Registry[Any]]:
    found = [one for one in kubernetes_validate.utils.all_versions() if one.startswith(version)]
    folder = (
        Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"v{found[-1]}-local-strict"
    )
    definitions = Resource.from_contents(json.loads((folder / "_definitions.json").read_text("utf-8")))
    return folder, Registry().with_resource("_definitions.json", definitions)


def check_schema(manifest: Manifest, version: str) -> None:
    folder, registry = schemas(version)
    group, _, number = manifest["apiVersion"].rpartition("/")
    name = "-".join(word for word in (manifest["kind"].lower(), group.partition(".")[0], number) if word)
    schema = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    errors = [
        error.message for error in Draft202012Validator(schema, registry=registry).iter_errors(manifest)
    ]
    assert not errors, f"{manifest['kind']}/{manifest['metadata']['name']}: {errors}"


@pytest.mark.slow
@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.utils.latest_version()])
def test_official_schemas_accept_every_manifest(version: str) -> None:
    version = ".".join(version.split(".")[:2])
    seen = set()
    for name in RENDERED:
        for manifest in render(name):
            text = json.dumps(manifest, sort_keys=True)
            if manifest["kind"] not in CUSTOM and text not in seen:
                check_schema(manifest, version)
                seen.add(text)
        for group in pods(name):
            if group.owner["kind"] not in CUSTOM:
                continue
            check_schema(
                {
                    "apiVersion": "v1",
                    "kind": "PodTemplate",
                    "metadata": {"name": "x"},
                    "template": group.template,
                },
                version,
            )


def test_official_schemas_refuse_what_is_wrong() -> None:
    gateway = next(one for one in of_kind("gpu", "Deployment") if one["metadata"]["name"] == "gateway")
    wrong = json.loads(json.dumps(gateway))
    wrong["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = {}
    with pytest.raises(AssertionError, match="livenessProb"):
        check_schema(wrong, OLDEST)


PARSE = """
import json, sys
from torch.distributed.run import get_args_parser
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
engine, torchrun = json.load(sys.stdin)
parser = make_arg_parser(FlexibleArgumentParser())
for words in engine:
    parser.parse_args(words)
get_args_parser().parse_args(torchrun)
"""


@pytest.mark.slow
def test_vllm_and_torchrun_understand_their_flags() -> None:
    pytest.importorskip("vllm", reason="vLLM is not installed")
    engine = []
    for name in STACKS:
        for group in pods(name):
            args = group.spec["containers"][0].get("args", [])
            if args[:1] == ["worker"] and "--" in args:
                engine.append(args[args.index("--") + 1 :])
            if args[:1] == ["serve"]:
                engine.append(args[2:])
    assert len(engine) >= 4
    # What Kubernetes puts in.
    given = (
        json.dumps(engine).replace("$(LWS_LEADER_ADDRESS)", "10.1.2.3").replace("$(LWS_WORKER_INDEX)", "1")
    )
    (group,) = pods("training")
    torchrun = [word.replace("$(JOB_COMPLETION_INDEX)", "1") for word in group.spec["containers"][0]["args"]]
    done = subprocess.run(
        [sys.executable, "-c", PARSE],
        input=json.dumps([json.loads(given), torchrun]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
