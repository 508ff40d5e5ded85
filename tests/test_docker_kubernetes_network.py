"""Who may talk to whom in the cluster: references lead somewhere, and policies let through what is needed."""

import os
import queue
import subprocess
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.kubernetes_files import (
    PARTS,
    RENDERED,
    STACKS,
    Manifest,
    Pods,
    matches,
    of_kind,
    parts,
    pods,
    render,
)
from tests.support.processes import PATIENCE_S
from tests.support.quiet_handler import QuietHandler
from webui.settings import WebuiSettings


@pytest.mark.parametrize("name", RENDERED)
def test_references_lead_somewhere(name: str) -> None:
    groups = list(pods(name))
    names = {(one["kind"], one["metadata"]["name"]) for one in render(name)}
    for manifest in render(name):
        spec = manifest.get("spec", {})
        if manifest["kind"] == "Service":
            found = [group for group in groups if matches({"matchLabels": spec["selector"]}, group.labels)]
            assert len(found) == 1, manifest["metadata"]["name"]
            own = {p.get("name") for c in found[0].spec["containers"] for p in c.get("ports", [])}
            assert all(p["targetPort"] in own or isinstance(p["targetPort"], int) for p in spec["ports"])
        elif manifest["kind"] in ("PodDisruptionBudget", "NetworkPolicy", "Deployment", "StatefulSet"):
            selector = spec.get("selector") or spec["podSelector"]
            assert any(matches(selector, group.labels) for group in groups), manifest["metadata"]
        elif manifest["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            target = spec["scaleTargetRef"]
            assert (target.get("kind", "Deployment"), target["name"]) in names
            deployment = next(
                one for one in of_kind(name, "Deployment") if one["metadata"]["name"] == target["name"]
            )
            assert "replicas" not in deployment["spec"], "two would decide about one number"
        elif manifest["kind"] == "ServiceMonitor":
            assert any(
                matches(spec["selector"], one["metadata"]["labels"]) for one in of_kind(name, "Service")
            )
    budgets = [one["spec"]["selector"] for one in of_kind(name, "PodDisruptionBudget")]
    for group, _, part in parts(name) if name in STACKS else ():
        if part.settings is not WebuiSettings and group.owner["kind"] != "LeaderWorkerSet":
            assert sum(matches(selector, group.labels) for selector in budgets) == 1, group


def allowed(name: str, source: Pods, target: Pods, port: int) -> bool:
    """Whether the network policies let `source` reach `target`."""

    def permits(direction: str, peer: str, own: Pods, other: Pods) -> bool:
        policies = [
            one["spec"]
            for one in of_kind(name, "NetworkPolicy")
            if matches(one["spec"]["podSelector"], own.labels)
            and direction.capitalize() in one["spec"]["policyTypes"]
        ]
        return not policies or any(
            _rule_permits(rule, peer, other, port) for one in policies for rule in one.get(direction, [])
        )

    return permits("egress", "to", source, target) and permits("ingress", "from", target, source)


def _rule_permits(rule: Manifest, peer: str, other: Pods, port: int) -> bool:
    if "ports" in rule and port not in {one["port"] for one in rule["ports"]}:
        return False
    return peer not in rule or any(
        matches(one.get("podSelector", {"matchLabels": {"no": "pod"}}), other.labels) for one in rule[peer]
    )


NEEDED = {
    *(("gateway", "controller"), ("worker", "controller"), ("controller", "worker"), ("gateway", "worker")),
    *(("webui", "gateway"), ("gateway", "postgres"), ("documents", "postgres")),
    *(("gateway", "documents"), ("documents", "gateway")),
}


@pytest.mark.parametrize("name", STACKS)
def test_network_policies_let_through_what_is_needed_and_no_more(name: str) -> None:
    ports = {"postgres": 5432} | {part: facts.port for part, facts in PARTS.items()}
    for source in pods(name):
        for target in pods(name):
            ends = [
                group.labels["app.kubernetes.io/name"].removeprefix("kodolly-") for group in (source, target)
            ]
            if ends[1] not in ports or any("kodolly/role" in group.labels for group in (source, target)):
                continue
            # Gateway and web UI are open doors; but who has no business there cannot go out.
            assert allowed(name, source, target, ports[ends[1]]) == (tuple(ends) in NEEDED), ends
            assert not allowed(name, source, target, 22)


@pytest.mark.parametrize("name", STACKS)
def test_names_resolve_with_a_cache_on_the_node_and_on_openshift(name: str) -> None:
    """NodeLocal DNSCache answers from the host's network, which no selector matches; OpenShift at 5353."""
    (policy,) = (one for one in of_kind(name, "NetworkPolicy") if one["metadata"]["name"] == "names")
    assert policy["spec"]["podSelector"] == {}
    rules = policy["spec"]["egress"]
    anywhere = {
        (port["protocol"], port["port"]) for rule in rules if "to" not in rule for port in rule["ports"]
    }
    assert anywhere == {("UDP", 53), ("TCP", 53)}
    pods_only = [rule["ports"] for rule in rules if rule.get("to") == [{"namespaceSelector": {}}]]
    assert [(port["protocol"], port["port"]) for (*ports,) in pods_only for port in ports] == [
        ("UDP", 5353),
        ("TCP", 5353),
    ]


def test_the_nodes_of_one_engine_reach_each_other_on_any_port() -> None:
    leader, node = (group for group in pods("multi-node") if group.owner["kind"] == "LeaderWorkerSet")
    outside = next(group for group in pods("multi-node") if str(group) == "Deployment/gateway")
    assert allowed("multi-node", leader, node, 40_123)
    assert allowed("multi-node", node, leader, 29_501)
    assert allowed("multi-node", outside, leader, 21002)
    assert not allowed("multi-node", outside, node, 21002)
    words = [[*group.spec["containers"][0]["args"]] for group in (leader, node)]
    size = leader.owner["spec"]["leaderWorkerTemplate"]["size"]
    for flag in ("--tensor-parallel-size", "--pipeline-parallel-size", "--nnodes", "--max-num-seqs"):
        assert words[0][words[0].index(flag) + 1] == words[1][words[1].index(flag) + 1]
    assert words[0][words[0].index("--nnodes") + 1] == str(size)


@pytest.mark.slow
def test_the_nodes_of_one_engine_stay_while_the_leader_drains() -> None:
    """vLLM's other processes end at the first SIGTERM, and take the running answers with them."""
    _, node = (group for group in pods("multi-node") if group.owner["kind"] == "LeaderWorkerSet")
    wait = node.spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    asked: queue.Queue[str] = queue.Queue()

    class Healthy(QuietHandler):
        def do_GET(self) -> None:
            self.answer()
            asked.put(self.path)

    engine = ThreadingHTTPServer(("127.0.0.1", 0), Healthy)
    serving = threading.Thread(target=engine.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    script = wait[2].replace(":21002", f":{engine.server_port}")
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    hook = subprocess.Popen(
        [*wait[:2], script], env=os.environ | {"LWS_LEADER_ADDRESS": "127.0.0.1", "PATH": programs}
    )
    assert [asked.get(timeout=PATIENCE_S), asked.get(timeout=PATIENCE_S)] == ["/health"] * 2
    assert hook.poll() is None
    engine.shutdown()
    engine.server_close()
    serving.join()
    assert hook.wait(PATIENCE_S) == 0
