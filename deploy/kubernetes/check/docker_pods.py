"""Pods as Docker containers: enough of a kubelet to start what the manifests say, and to stop it as Kubernetes does.

The container gets what its pod would: variables, files, command, user, read-only root, no capabilities, limits. Probes ask
the address of the container. Names of Services are names in a Docker network, where their port is that of the container.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from model import Rendered, Workload, bytes_of


def docker(*arguments: str) -> str:
    """Standard output of a docker command. It raises with standard error if the command fails."""
    ended = subprocess.run(["docker", *arguments], capture_output=True, text=True)
    if ended.returncode != 0:
        raise RuntimeError(f"docker {' '.join(arguments[:2])}: {ended.stderr.strip()}")
    return ended.stdout.strip()


def wait_for(what: str, seconds: float, is_so) -> None:
    """Returns once `is_so` says true; it raises with `what` when that takes longer."""
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.1)


class Pod:
    """A running pod of a workload."""

    def __init__(self, node: Node, workload: Workload):
        self.workload = workload
        self.id = docker("run", "--detach", *node.arguments(workload))
        node.pods.append(self)
        inspected = json.loads(docker("inspect", self.id))[0]
        (network,) = inspected["NetworkSettings"]["Networks"].values()
        self.address = network["IPAddress"]
        self.pid = inspected["State"]["Pid"]

    def asks(self, probe: str) -> bool:
        """Whether a probe of the container succeeds now."""
        spec = self.workload.container[probe]
        if "exec" in spec:
            ended = subprocess.run(["docker", "exec", self.id, *spec["exec"]["command"]], capture_output=True)
            return ended.returncode == 0
        port = self.workload.ports[spec["httpGet"]["port"]]
        url = f"http://{self.address}:{port}{spec['httpGet']['path']}"
        try:
            with urllib.request.urlopen(url, timeout=spec.get("timeoutSeconds", 1)) as answer:
                return answer.status < 400
        except (urllib.error.URLError, OSError):
            return False

    def wait_until_ready(self) -> Pod:
        def is_ready() -> bool:
            if docker("inspect", "--format", "{{.State.Running}}", self.id) != "true":
                raise RuntimeError(f"{self.workload.name} has ended:\n{self.logs()}")
            return self.asks("readinessProbe")

        wait_for(f"{self.workload.name} is ready", 60, is_ready)
        return self

    def logs(self) -> str:
        ended = subprocess.run(["docker", "logs", "--tail", "20", self.id], capture_output=True, text=True)
        return ended.stdout + ended.stderr

    def status(self) -> dict[str, str]:
        """What the kernel says of its first process."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def stop(self, with_delay: bool = True) -> tuple[int, float]:
        """As the kubelet stops it: preStop, SIGTERM, and SIGKILL after the rest of the grace time. Returns its exit code, and
        the seconds from SIGTERM on."""
        hook = self.workload.container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if with_delay:
            time.sleep(hook)
        left = self.workload.pod["terminationGracePeriodSeconds"] - hook
        started = time.monotonic()
        docker("kill", "--signal", "TERM", self.id)
        try:
            code = subprocess.run(["docker", "wait", self.id], capture_output=True, text=True, timeout=left).stdout
        except subprocess.TimeoutExpired:
            docker("kill", self.id)
            return 137, time.monotonic() - started
        return int(code), time.monotonic() - started


class Node:
    """A Docker network, and the containers on it. All of it is gone after a `with`."""

    def __init__(self, rendered: Rendered, work: Path, images: dict[str, str]):
        self.rendered, self.work, self.images = rendered, work, images
        self.network = f"hermod-kubernetes-{work.name.rpartition('.')[2].lower()}"
        self.pods: list[Pod] = []

    def __enter__(self) -> Node:
        docker("network", "create", self.network)
        return self

    def __exit__(self, *_: object) -> None:
        for pod in self.pods:
            subprocess.run(["docker", "rm", "--force", "--volumes", pod.id], capture_output=True)
        subprocess.run(["docker", "network", "rm", self.network], capture_output=True)

    def start(self, name: str) -> Pod:
        return Pod(self, self.rendered.workloads[name])

    def arguments(self, workload: Workload) -> list[str]:
        """Those of `docker run` for a pod of `workload`."""
        container, pod = workload.container, workload.pod
        limits = container["resources"]["limits"]
        arguments = ["--network", self.network, "--memory", str(bytes_of(limits["memory"])), "--cpus", limits["cpu"]]
        for service in self.rendered.of("Service"):
            if service["spec"]["selector"].items() <= workload.labels.items():
                arguments += ["--network-alias", service["metadata"]["name"]]
        context = container["securityContext"]
        if context["readOnlyRootFilesystem"]:
            arguments += ["--read-only"]
        if not context["allowPrivilegeEscalation"]:
            arguments += ["--security-opt", "no-new-privileges"]
        for capability in context["capabilities"]["drop"]:
            arguments += ["--cap-drop", capability]
        user = pod["securityContext"].get("runAsUser")
        if user is not None:
            arguments += ["--user", f"{user}:{pod['securityContext']['runAsGroup']}"]
        for name, value in self.rendered.environment(workload).items():
            arguments += ["--env", f"{name}={value}"]
        arguments += self.mounts(workload)
        image = self.images[container["image"].partition(":")[0]]
        command, *rest = container["command"]
        return [*arguments, "--entrypoint", command, image, *rest, *container.get("args", [])]

    def mounts(self, workload: Workload) -> list[str]:
        maps = {volume["name"]: volume["configMap"]["name"] for volume in workload.pod.get("volumes", [])}
        arguments = []
        for mount in workload.container.get("volumeMounts", []):
            if mount["name"] not in maps:
                # A claim: new, and of the pod's group.
                user = workload.pod["securityContext"]["fsGroup"]
                arguments += ["--tmpfs", f"{mount['mountPath']}:uid={user},gid={user},mode=0770"]
                continue
            directory = self.work / maps[mount["name"]]
            directory.mkdir(exist_ok=True)
            directory.chmod(0o755)
            for file, content in self.rendered.data("ConfigMap", maps[mount["name"]]).items():
                (directory / file).write_text(content)
                (directory / file).chmod(0o644)
            arguments += ["--volume", f"{directory}:{mount['mountPath']}:ro"]
        return arguments
