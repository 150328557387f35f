"""Checks what kustomize has rendered against the promises of docs/KUBERNETES.md, and against Hermod itself.

    manifests.py RENDERED_DIRECTORY REPOSITORY [HERMOD]

Without HERMOD, the path of the program, names of variables and config.json are not checked.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from model import HASH, Rendered, Workload, bytes_of, matches

# The longest that a worker's stop takes besides HERMOD_GRACE_SECONDS, and the margin for an API process's.
WORKER_STOP_SECONDS = 18
API_STOP_SECONDS = 10
# Time for proxies and other machines to hear that an API process goes.
DRAIN_SECONDS = 5
# What the base leaves to overlays.
LEFT_TO_OVERLAYS = {("base", "hermod-secrets")}

problems: list[str] = []
checked = 0


def expect(is_so: bool, problem: str) -> None:
    global checked
    checked += 1
    if not is_so:
        problems.append(problem)


def check_pod(rendered: Rendered, workload: Workload) -> None:
    where = f"{rendered.name}: {workload.name}"
    pod, container = workload.pod, workload.container
    of_pod, of_container = pod.get("securityContext", {}), container.get("securityContext", {})
    expect(of_pod.get("runAsNonRoot") is True, f"{where}: runAsNonRoot")
    expect(of_pod.get("runAsUser", 1) != 0, f"{where}: runs as root")
    expect(of_pod.get("seccompProfile") == {"type": "RuntimeDefault"}, f"{where}: seccompProfile")
    expect(of_container.get("readOnlyRootFilesystem") is True, f"{where}: readOnlyRootFilesystem")
    expect(of_container.get("allowPrivilegeEscalation") is False, f"{where}: allowPrivilegeEscalation")
    expect(of_container.get("capabilities") == {"drop": ["ALL"]}, f"{where}: capabilities")
    expect(pod.get("automountServiceAccountToken") is False, f"{where}: automountServiceAccountToken")
    expect(pod.get("enableServiceLinks") is False, f"{where}: enableServiceLinks")
    for member in ("hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"):
        expect(member not in pod, f"{where}: {member}")
    expect(not any("hostPath" in volume for volume in pod.get("volumes", [])), f"{where}: hostPath")
    for bound in ("requests", "limits"):
        for resource in ("cpu", "memory"):
            expect(resource in container["resources"][bound], f"{where}: no {bound}.{resource}")
    expect(":" in container["image"], f"{where}: an image without a tag")
    probes = [container[probe] for probe in ("startupProbe", "livenessProbe", "readinessProbe") if probe in container]
    expect("livenessProbe" in container and "readinessProbe" in container, f"{where}: a probe is missing")
    for probe in probes:
        asked = probe.get("httpGet") or probe.get("tcpSocket")
        expect(asked is None or asked["port"] in workload.ports, f"{where}: a probe asks a port that is not there")
    for kind, name, is_optional in rendered.references(workload):
        is_there = rendered.find(kind, name) is not None
        is_left = (rendered.name, name) in LEFT_TO_OVERLAYS
        expect(is_there or is_optional or is_left, f"{where}: there is no {kind} {name}")
        expect(not is_there or bool(HASH.search(name)), f"{where}: a change of {kind} {name} does not replace the pods")


def port_of(address: str) -> int:
    return int(address.rsplit(":", 1)[1])


def check_processes(rendered: Rendered) -> None:
    """What ties settings to ports, grace times and limits of memory."""
    api, worker = rendered.workloads["hermod-api"], rendered.workloads["hermod-worker"]
    of_api, of_worker = rendered.environment(api), rendered.environment(worker)
    for workload, variables in ((api, of_api), (worker, of_worker)):
        where = f"{rendered.name}: {workload.name}"
        container = workload.container
        (mount,) = container["volumeMounts"]
        expect(variables["HERMOD_CONFIG"] == f"{mount['mountPath']}/config.json", f"{where}: HERMOD_CONFIG")
        for probe in ("startupProbe", "livenessProbe"):
            expect(container[probe]["httpGet"]["path"] == "/livez", f"{where}: {probe} asks Redis")
        expect(container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "ops"}, f"{where}: readiness")
        spread = {constraint["topologyKey"] for constraint in workload.pod["topologySpreadConstraints"]}
        expect(spread == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}, f"{where}: spread")
    expect(api.ports == {"http": port_of(of_api["HERMOD_LISTEN"]), "ops": port_of(of_api["HERMOD_OPS_LISTEN"])},
           f"{rendered.name}: ports of the API: {api.ports}")
    expect(worker.ports == {"ops": port_of(of_worker["HERMOD_METRICS_LISTEN"])},
           f"{rendered.name}: ports of the worker: {worker.ports}")

    delay = api.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    expect(delay >= DRAIN_SECONDS, f"{rendered.name}: the API is stopped {delay} s after its pod")
    needed = delay + int(of_api["HERMOD_GRACE_SECONDS"]) + API_STOP_SECONDS
    expect(api.pod["terminationGracePeriodSeconds"] >= needed, f"{rendered.name}: the API may need {needed} s to stop")
    needed = int(of_worker["HERMOD_GRACE_SECONDS"]) + WORKER_STOP_SECONDS
    expect(worker.pod["terminationGracePeriodSeconds"] > needed, f"{rendered.name}: a worker may need {needed} s to stop")
    limit = bytes_of(api.container["resources"]["limits"]["memory"])
    expect(limit >= 4 * int(of_api["HERMOD_MAX_MEMORY_BYTES"]) + (512 << 20), f"{rendered.name}: memory of the API")
    limit = bytes_of(worker.container["resources"]["limits"]["memory"])
    expect(limit >= 2 * int(of_worker["HERMOD_MAX_MEMORY_BYTES"]), f"{rendered.name}: memory of the worker")
    strategy = api.manifest["spec"]["strategy"]["rollingUpdate"]
    expect(strategy["maxUnavailable"] == 0, f"{rendered.name}: a rollout takes API processes away")
    expect("rollingUpdate" in worker.manifest["spec"]["strategy"], f"{rendered.name}: rollout of the workers")

    of_workers_alone = set(rendered.data("Secret", "hermod-worker-secrets"))
    expect(not of_workers_alone & set(of_api), f"{rendered.name}: the API has secrets of providers")
    of_api_alone = set(rendered.data("Secret", "hermod-api-secrets"))
    expect(not of_api_alone & set(of_worker), f"{rendered.name}: workers have the administrator's secret")


def check_services(rendered: Rendered) -> None:
    for service in rendered.of("Service"):
        name, spec = service["metadata"]["name"], service["spec"]
        selected = rendered.selected({"matchLabels": spec["selector"]})
        expect(len(selected) == 1, f"{rendered.name}: Service {name} selects {len(selected)} workloads")
        for port in spec["ports"]:
            for workload in selected:
                expect(port["targetPort"] in workload.ports, f"{rendered.name}: Service {name}: {port['targetPort']}")
        targets = {port["targetPort"] for port in spec["ports"]}
        expect(name == "hermod-api-ops" or "ops" not in targets, f"{rendered.name}: Service {name} has operators' port")
        expect(spec.get("type", "ClusterIP") == "ClusterIP", f"{rendered.name}: Service {name} leaves the cluster")
    for name, ports in (("hermod-api", ["http"]), ("hermod-api-ops", ["ops"])):
        service = rendered.find("Service", name)
        expect([port["targetPort"] for port in service["spec"]["ports"]] == ports, f"{rendered.name}: Service {name}")


def check_budgets(rendered: Rendered) -> None:
    budgets = {}
    for budget in rendered.of("PodDisruptionBudget"):
        (workload,) = rendered.selected(budget["spec"]["selector"])
        budgets[workload.name] = budget["spec"]["maxUnavailable"]
        expect(budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow", f"{rendered.name}: {workload.name}: budget")
    expect(budgets.get("hermod-api") == 1, f"{rendered.name}: budget of the API: {budgets}")
    share = int(str(budgets.get("hermod-worker")).rstrip("%"))
    expect(25 <= share <= 50, f"{rendered.name}: budget of the workers: {budgets}")


def check_policies(rendered: Rendered) -> None:
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in rendered.of("NetworkPolicy")}
    expect(policies["hermod-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
           f"{rendered.name}: hermod-deny lets something through")
    for name, spec in policies.items():
        selected = rendered.selected(spec["podSelector"])
        expect(bool(selected), f"{rendered.name}: NetworkPolicy {name} selects nothing")
        for rule in spec.get("ingress", []):
            for port in rule["ports"]:
                for workload in selected:
                    expect(port["port"] in workload.ports, f"{rendered.name}: {name}: {workload.name} has no {port['port']}")
                # Who may reach operators' ports, Redis or a provider is always said.
                expect("from" in rule or port["port"] == "http" and name == "hermod-api", f"{rendered.name}: {name}: from all")
        for rule in spec.get("egress", []):
            for peer in rule.get("to", []):
                if "podSelector" in peer:
                    for target in rendered.selected(peer["podSelector"]):
                        for port in rule["ports"]:
                            expect(port["port"] in target.ports, f"{rendered.name}: {name}: {target.name}")


def check_monitors(rendered: Rendered) -> None:
    for monitor in rendered.of("ServiceMonitor"):
        spec = monitor["spec"]
        services = [service for service in rendered.of("Service") if matches(spec["selector"], service["metadata"]["labels"])]
        expect(len(services) == 1, f"{rendered.name}: ServiceMonitor selects {len(services)} Services")
        ports = {port["name"] for service in services for port in service["spec"]["ports"]}
        for endpoint in spec["endpoints"]:
            expect(set(endpoint) == {"port", "path", "interval"} and endpoint["port"] in ports, f"{rendered.name}: ServiceMonitor")
    for monitor in rendered.of("PodMonitor"):
        (workload,) = rendered.selected(monitor["spec"]["selector"])
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            expect(endpoint["port"] in workload.ports, f"{rendered.name}: PodMonitor")


def check_scaling(rendered: Rendered, documented: str) -> None:
    for scaler in rendered.of("HorizontalPodAutoscaler") + rendered.of("ScaledObject"):
        scaled = rendered.workloads[scaler["spec"]["scaleTargetRef"]["name"]]
        expect("replicas" not in scaled.manifest["spec"], f"{rendered.name}: {scaled.name} has replicas of its own")
        least = scaler["spec"].get("minReplicas", scaler["spec"].get("minReplicaCount", 0))
        # With no worker nobody queues delayed jobs, or takes over those of dead workers.
        expect(least >= 1 and "idleReplicaCount" not in scaler["spec"], f"{rendered.name}: {scaled.name} may go to 0")
    for scaler in rendered.of("ScaledObject"):
        worker = rendered.workloads["hermod-worker"]
        modifiers = scaler["spec"]["advanced"]["scalingModifiers"]
        target, concurrency = int(modifiers["target"]), int(rendered.environment(worker)["HERMOD_CONCURRENCY"])
        expect(concurrency / 2 <= target < concurrency, f"{rendered.name}: {target} jobs for {concurrency} slots")
        expect(modifiers["metricType"] == "AverageValue", f"{rendered.name}: metricType")
        triggers = {trigger["name"]: trigger for trigger in scaler["spec"]["triggers"]}
        expect(set(re.findall(r"[a-z_]+", modifiers["formula"])) == set(triggers), f"{rendered.name}: formula")
        for trigger in triggers.values():
            source = trigger["metadata"]
            expect(trigger["type"] == "metrics-api" and source["format"] == "prometheus", f"{rendered.name}: trigger")
            metric = source["valueLocation"]
            expect(f"`{metric}`" in documented, f"{rendered.name}: KEDA reads {metric}, which docs do not name")
            host, port = re.fullmatch(r"http://([a-z.-]+):(\d+)/metrics", source["url"]).groups()
            name, namespace, suffix = host.split(".")
            service = rendered.find("Service", name)
            expect(service is not None and service["metadata"]["namespace"] == namespace and suffix == "svc",
                   f"{rendered.name}: KEDA asks {host}, which is not there")
            expect(int(port) in [port["port"] for port in service["spec"]["ports"]], f"{rendered.name}: KEDA asks port {port}")


def check_namespace(rendered: Rendered) -> None:
    (namespace,) = rendered.of("Namespace")
    labels = namespace["metadata"]["labels"]
    for mode in ("enforce", "audit", "warn"):
        expect(labels[f"pod-security.kubernetes.io/{mode}"] == "restricted", f"{rendered.name}: pod security")
    for manifest in rendered.manifests:
        if manifest["kind"] != "Namespace":
            expect(manifest["metadata"].get("namespace") == namespace["metadata"]["name"],
                   f"{rendered.name}: {manifest['kind']} {manifest['metadata']['name']} is elsewhere")


def settings_of(hermod: str, role: str) -> set[str]:
    text = subprocess.run([hermod, role, "--help"], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"\[env: ([A-Z0-9_]+)", text))


def named_in(config: str) -> set[str]:
    return set(re.findall(r'"env\.([A-Za-z0-9_]+)"', config))


def check_variables(rendered: Rendered, hermod: str) -> None:
    """Each variable is a setting of the process, or is named by config.json; and config.json can be used."""
    config = rendered.data("ConfigMap", "hermod-config")["config.json"]
    json.loads(config)
    for name, role in (("hermod-api", "api"), ("hermod-worker", "worker")):
        variables = rendered.environment(rendered.workloads[name])
        unknown = set(variables) - settings_of(hermod, role) - named_in(config)
        expect(not unknown, f"{rendered.name}: {name} has no settings {sorted(unknown)}")
    if rendered.name == "base":
        return
    variables = rendered.environment(rendered.workloads["hermod-worker"])
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(config)
        file.flush()
        ended = subprocess.run(
            [hermod, "config", "check", file.name], capture_output=True, text=True,
            env={"PATH": os.environ["PATH"]} | {name: variables[name] for name in named_in(config) if name in variables},
        )
    expect(ended.returncode == 0, f"{rendered.name}: config.json is refused:\n{ended.stdout}{ended.stderr}")


def main() -> int:
    directory, repository, hermod = Path(sys.argv[1]), Path(sys.argv[2]), (sys.argv[3:] or [None])[0]
    documented = "".join(page.read_text() for page in (repository / "docs").glob("*.md") if page.name != "KUBERNETES.md")
    renderings = [Rendered(path) for path in sorted(directory.glob("*.yaml"))]
    for rendered in renderings:
        for workload in rendered.workloads.values():
            check_pod(rendered, workload)
        if hermod:
            check_variables(rendered, hermod)
        try:
            check_processes(rendered)
        except KeyError as missing:
            problems.append(f"{rendered.name}: there is no {missing}")
        check_services(rendered)
        check_budgets(rendered)
        check_policies(rendered)
        check_monitors(rendered)
        check_scaling(rendered, documented)
        check_namespace(rendered)
    # The image that the manifests start has a user by number: Kubernetes cannot tell whether a name is root.
    users = re.findall(r"^USER (\S+)", (repository / "deploy/Dockerfile").read_text(), re.MULTILINE)
    expect(bool(users) and bool(re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", users[-1])), f"the image's user is {users}")
    for copy, original in (("redis.conf", "redis.conf"), ("config.json", "config.json")):
        same = (repository / "deploy" / original).read_text() == (repository / "deploy/kubernetes/overlays/demo" / copy).read_text()
        expect(same, f"overlays/demo/{copy} is not deploy/{original}")
    for problem in problems:
        print(problem, file=sys.stderr)
    names = ", ".join(rendered.name for rendered in renderings)
    print(f"{checked} assertions on {names}: {len(problems)} failed" + ("" if hermod else "; variables not checked"))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
