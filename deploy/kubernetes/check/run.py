"""Starts the pods of the demo in Docker as their manifests say, and replaces them under load as a rollout does.

    run.py RENDERED_DEMO WORK_DIRECTORY HERMOD_IMAGE REDIS_IMAGE [--without-delay]

No client may notice it, and no job may be lost. `--without-delay` leaves out preStop, which clients do notice.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from pathlib import Path

from clients import Clients, Endpoints
from docker_pods import Node, Pod, docker, wait_for
from model import Rendered

STARTED = time.monotonic()


def say(text: str) -> None:
    print(f"[{time.monotonic() - STARTED:3.0f}s] {text}", flush=True)


def ask(address: str, path: str, port: int = 8080) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, port, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def check_locked_down(pod: Pod) -> None:
    """What the kernel lets the process do."""
    status = pod.status()
    name = pod.workload.name
    assert "0" not in status["Uid"].split(), f"{name} runs as user {status['Uid']}"
    assert all(int(status[member], 16) == 0 for member in ("CapEff", "CapPrm", "CapBnd")), f"{name} has capabilities"
    assert status["NoNewPrivs"] == "1", f"{name} may gain privileges"
    assert status["Seccomp"] == "2", f"{name} has no seccomp filter"
    assert docker("inspect", "--format", "{{.HostConfig.ReadonlyRootfs}}", pod.id) == "true", f"{name} may write"
    say(f"{name}: user {status['Uid'].split()[0]}, no capabilities, read-only root")


def check_ports(api: Pod) -> None:
    """What clients reach, and what they do not."""
    for path, expected in (("/livez", 200), ("/metrics", 404), ("/readyz", 404)):
        status, _ = ask(api.address, path)
        assert status == expected, f"{path} of the port for clients: {status}"
    status, text = ask(api.address, "/metrics", 9091)
    for metric in ("hermod_queue_waiting", "hermod_queue_running"):
        assert any(line.startswith(f"{metric} ") for line in text.splitlines()), f"KEDA does not find {metric} without labels"
    assert "waiting" in docker("exec", api.id, "hermod", "queue", "stats"), "hermod queue does not find Redis in a pod"
    say("metrics and readiness are on the operators' port alone; KEDA's two numbers are there")


def check_probes_without_redis(redis: Pod, pods: list[Pod]) -> None:
    docker("pause", redis.id)
    try:
        for pod in pods:
            wait_for(f"{pod.workload.name} is not ready without Redis", 20, lambda pod=pod: not pod.asks("readinessProbe"))
            assert pod.asks("livenessProbe"), f"{pod.workload.name} would be restarted while Redis is away"
    finally:
        docker("unpause", redis.id)
    for pod in pods:
        wait_for(f"{pod.workload.name} is ready again", 30, lambda pod=pod: pod.asks("readinessProbe"))
    say("without Redis: not ready, but alive; ready again with it")


def roll(node: Node, name: str, pods: list[Pod], endpoints: Endpoints | None, with_delay: bool) -> None:
    """One after another: a new pod is ready, then an old one goes."""
    for old in list(pods):
        new = node.start(name).wait_until_ready()
        pods.append(new)
        pods.remove(old)
        if endpoints:
            endpoints.set([pod.address for pod in pods])
        code, seconds = old.stop(with_delay)
        say(f"{name}: replaced; the old one ended {seconds:.1f} s after SIGTERM, exit code {code}")
        assert code == 0, old.logs()


def main() -> int:
    rendered, work = Rendered(Path(sys.argv[1])), Path(sys.argv[2])
    images = {"hermod": sys.argv[3], "redis": sys.argv[4]}
    with_delay = "--without-delay" not in sys.argv
    with Node(rendered, work, images) as node:
        redis = node.start("redis").wait_until_ready()
        node.start("demo-provider").wait_until_ready()
        # Both kinds as many as the manifests say.
        apis, workers = ([node.start(name) for _ in range(rendered.workloads[name].manifest["spec"]["replicas"])]
                         for name in ("hermod-api", "hermod-worker"))
        for pod in [*apis, *workers]:
            pod.wait_until_ready()
        say(f"{len(node.pods)} pods are ready")
        for pod in (redis, apis[0], workers[0]):
            check_locked_down(pod)
        check_ports(apis[0])
        check_probes_without_redis(redis, [apis[0], workers[0]])

        endpoints = Endpoints()
        endpoints.set([pod.address for pod in apis])
        with Clients(endpoints, 8080) as clients:
            time.sleep(2)
            rolls = [threading.Thread(target=roll, args=(node, *arguments)) for arguments in (
                ("hermod-api", apis, endpoints, with_delay), ("hermod-worker", workers, None, with_delay))]
            for thread in rolls:
                thread.start()
            for thread in rolls:
                thread.join()
            time.sleep(2)
        outcome = clients.outcome
        say(f"clients: {dict(outcome.answers)}; {outcome.sent_again} sent again, as a connection had closed while it was idle")
        for failure in outcome.failures[:10]:
            print(failure, file=sys.stderr)
        assert not outcome.failures, f"clients have seen {len(outcome.failures)} failures"
        assert len(apis) == 2 and len(workers) == 2, "a rollout has failed"

        def have_ended() -> bool:
            while outcome.jobs:
                _, text = ask(apis[0].address, f"/v1/async/completions/{outcome.jobs[-1]}")
                if json.loads(text)["status"] != "completed":
                    return False
                outcome.jobs.pop()
            return True

        accepted = len(outcome.jobs)
        wait_for("all accepted jobs are completed", 60, have_ended)
        say(f"all {accepted} accepted jobs are completed; a rollout of all pods failed no request")
    return 0


if __name__ == "__main__":
    sys.exit(main())
