"""Rendered manifests as Python sees them, and the questions that the checks ask of them."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

# What a kustomize generator adds to a name.
HASH = re.compile(r"-[a-z0-9]{10}$")
WORKLOADS = {"Deployment", "StatefulSet"}
UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


def bytes_of(quantity: str) -> int:
    """`1536Mi` as a number of bytes."""
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


def matches(selector: dict, labels: dict) -> bool:
    """Whether a label selector takes these labels. An empty one takes all."""
    wanted = selector.get("matchLabels", {})
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    for rule in selector.get("matchExpressions", []):
        if rule["operator"] != "In":
            raise ValueError(f"operator {rule['operator']}: the check knows `In` alone")
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True


@dataclass
class Workload:
    """A Deployment or a StatefulSet, all of which have one container here."""

    manifest: dict

    @property
    def name(self) -> str:
        return self.manifest["metadata"]["name"]

    @property
    def pod(self) -> dict:
        return self.manifest["spec"]["template"]["spec"]

    @property
    def labels(self) -> dict:
        return self.manifest["spec"]["template"]["metadata"]["labels"]

    @property
    def container(self) -> dict:
        (container,) = self.pod["containers"]
        return container

    @property
    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.container.get("ports", [])}

    @property
    def is_hermod(self) -> bool:
        return self.container["command"][0] == "hermod"


class Rendered:
    """One rendering: a base or an overlay."""

    def __init__(self, path: Path):
        self.name = path.stem
        self.manifests = [manifest for manifest in yaml.safe_load_all(path.read_text()) if manifest]
        self.workloads = {
            workload.name: workload
            for workload in (Workload(manifest) for manifest in self.manifests if manifest["kind"] in WORKLOADS)
        }

    def of(self, kind: str) -> list[dict]:
        return [manifest for manifest in self.manifests if manifest["kind"] == kind]

    def find(self, kind: str, name: str) -> dict | None:
        """By its whole name, or by the name that its generator was given."""
        for manifest in self.of(kind):
            full = manifest["metadata"]["name"]
            if name in (full, HASH.sub("", full)):
                return manifest
        return None

    def data(self, kind: str, name: str) -> dict[str, str]:
        """The content of a ConfigMap or a Secret; nothing where there is none."""
        manifest = self.find(kind, name) or {}
        data = dict(manifest.get("data", {})) | dict(manifest.get("stringData", {}))
        if kind == "Secret":
            data = {key: base64.b64decode(value).decode() for key, value in data.items()}
        return data

    def references(self, workload: Workload) -> list[tuple[str, str, bool]]:
        """Kind, name and whether it may be missing, of all that a workload's pods read."""
        found = []
        for variable in workload.container.get("env", []):
            secret = variable.get("valueFrom", {}).get("secretKeyRef")
            if secret:
                found.append(("Secret", secret["name"], secret.get("optional", False)))
        for source in workload.container.get("envFrom", []):
            for member, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if member in source:
                    found.append((kind, source[member]["name"], source[member].get("optional", False)))
        for volume in workload.pod.get("volumes", []):
            if "configMap" in volume:
                found.append(("ConfigMap", volume["configMap"]["name"], False))
        return found

    def environment(self, workload: Workload) -> dict[str, str]:
        """The variables of a workload's container, as far as they are in the rendering."""
        variables: dict[str, str] = {}
        for source in workload.container.get("envFrom", []):
            for member, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if member in source:
                    variables |= self.data(kind, source[member]["name"])
        for variable in workload.container.get("env", []):
            secret = variable.get("valueFrom", {}).get("secretKeyRef")
            if secret:
                data = self.data("Secret", secret["name"])
                if secret["key"] in data:
                    variables[variable["name"]] = data[secret["key"]]
            else:
                variables[variable["name"]] = variable["value"]
        return variables

    def selected(self, selector: dict) -> list[Workload]:
        return [workload for workload in self.workloads.values() if matches(selector, workload.labels)]
