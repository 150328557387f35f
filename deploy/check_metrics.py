"""Compares what `/metrics` says with alerts, dashboards and docs/METRICS.md; see check-metrics.sh.

It starts `hermod up` on free ports, makes each metric appear, and needs nothing but Python's own library.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

RULES = Path("deploy/prometheus/rules.yaml")
RULES_TEST = Path("deploy/prometheus/rules_test.yaml")
DASHBOARDS = sorted(Path("deploy/grafana/dashboards").glob("*.json"))
DOCS = Path("docs/METRICS.md")
# What a histogram's name gets in a scrape.
PARTS = ("_bucket", "_sum", "_count")
SECONDS = 60

faults = []


def fault(text):
    faults.append(text)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def eventually(what, condition):
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise SystemExit(f"metrics check: failed: not within {SECONDS} s: {what}")
        time.sleep(0.1)
    return found


class Hermod:
    """A private Hermod with one worker, and a second demo provider that has no prices."""

    def __init__(self, program, folder):
        self.folder = Path(folder)
        unpriced, port = free_port(), free_port()
        self.api, self.log = f"http://127.0.0.1:{port}", self.folder / "up.log"
        grant = {"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}
        config = {
            "providers": {
                "unpriced": {
                    "network_config": {"base_url": f"http://127.0.0.1:{unpriced}"},
                    "custom_provider_config": {"base_provider_type": "openai", "is_key_less": True},
                }
            },
            "governance": {
                "virtual_keys": [
                    {"id": "limited", "name": "Limited", "value": "sk-bf-limited", "provider_configs": [grant], "rate_limit_id": "one"}
                ],
                "rate_limits": [{"id": "one", "request_max_limit": 1, "request_reset_duration": "1h"}],
                "budgets": [{"id": "budget", "max_limit": 5, "reset_duration": "1M", "virtual_key_id": "limited"}],
            },
        }
        (self.folder / "given.json").write_text(json.dumps(config))
        up = ["up", "--listen", f"127.0.0.1:{port}", "--workers", "1", "--grace-seconds", "1"]
        up += ["--config", str(self.folder / "given.json"), "--data-dir", str(self.folder / "data")]
        out = self.log.open("w")
        demo = ["demo-provider", "--listen", f"127.0.0.1:{unpriced}"]
        self.processes = [
            subprocess.Popen([program, *args], stdout=out, stderr=subprocess.STDOUT) for args in (demo, up)
        ]
        self.worker = None

    def __enter__(self):
        # A worker's line has the address of its own port, maybe coloured.
        def started():
            text = re.sub(r"\x1b\[[0-9;]*m", "", self.log.read_text())
            if any(process.poll() is not None for process in self.processes):
                raise SystemExit(f"metrics check: failed: Hermod does not run:\n{text}")
            address = re.search(r"worker-1.*\bworking\b.*?\baddress=\"?([0-9.:]+)", text)
            return address if "Hermod is up" in text else None

        self.worker = f"http://{eventually('Hermod is up', started)[1]}"
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def call(self, method, path, body=None, **headers):
        """The status and the JSON of the answer."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.api + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def submit(self, model, **headers):
        return self.call("POST", "/v1/async/completions", {"model": model, "prompt": "Hello"}, **headers)

    def scrape(self, url):
        with urllib.request.urlopen(url + "/metrics", timeout=30) as answer:
            return answer.read().decode()

    def use(self):
        """Does something of each kind, so that metrics appear that begin with the first event of theirs."""
        for model in ["demo/echo", "unpriced/echo", "demo/retry-after-30", "demo/fail-503"]:
            assert self.submit(model)[0] == 202, model
        hanging = self.submit("demo/hang")[1]["id"]
        path = f"/v1/async/completions/{hanging}"
        eventually("it runs", lambda: self.call("GET", path)[1]["status"] == "processing")
        assert self.call("POST", path + "/cancel")[0] in (200, 202)
        key = {"x_bf_vk": "sk-bf-limited"}
        assert self.submit("demo/echo", **key)[0] == 202
        # When the first is counted, another cannot be admitted in time; one that may wait, waits in its lane.
        now = lambda: self.submit("demo/echo", x_hermod_max_wait="0", **key)[0] == 429
        eventually("a submit is refused", now)
        assert self.submit("demo/echo", **key)[0] == 202


def names_of(scrape):
    return set(re.findall(r"^# TYPE (\S+)", scrape, re.M))


def base(name, known):
    """The metric that a series belongs to."""
    for part in PARTS:
        if name.endswith(part) and name.removesuffix(part) in known:
            return name.removesuffix(part)
    return name


def expressions(dashboard):
    """Each expression of a dashboard, with the panel's title."""
    content = json.loads(dashboard.read_text())
    for panel in content["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in content["templating"]["list"]:
        if variable["type"] == "query":
            # Not PromQL: label_values(a series, a label).
            yield f"variable {variable['name']}", re.fullmatch(r"label_values\((.*), *\w+\)", variable["definition"])[1]


def plain(expression):
    """Without Grafana's variables."""
    expression = re.sub(r"\$__(rate_interval|range|interval)\b", "5m", expression)
    return re.sub(r"\$\{?\w+\}?", ".*", expression)


def check_parse(promtool, folder):
    """Each expression, as a recording rule, which Prometheus reads."""
    all_of_them = [plain(text) for dashboard in DASHBOARDS for _, text in expressions(dashboard)]
    rules = [{"record": f"dashboard:expression:{number}", "expr": text} for number, text in enumerate(all_of_them)]
    file = Path(folder) / "dashboards.json"
    file.write_text(json.dumps({"groups": [{"name": "dashboards", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        fault(f"a dashboard's expression does not parse:\n{done.stdout}{done.stderr}")
    return len(rules)


def check_names(shown):
    uses = [(RULES, RULES.read_text()), (RULES_TEST, RULES_TEST.read_text())]
    uses += [(dashboard, text) for dashboard in DASHBOARDS for _, text in expressions(dashboard)]
    for file, text in uses:
        for name in sorted(set(re.findall(r"\bhermod_\w+", text))):
            if base(name, shown) not in shown:
                fault(f"{file}: no process shows {name}")
    used = {base(name, shown) for _, text in uses for name in re.findall(r"\bhermod_\w+", text)}
    for name in sorted(shown - used):
        fault(f"{name} is in no alert and in no dashboard")


def check_docs(shown):
    text = DOCS.read_text()
    documented = set(re.findall(r"^\| `(hermod_\w+)`", text, re.M))
    for name in sorted(shown - documented):
        fault(f"{DOCS}: {name} has no row")
    for name in sorted(documented - shown):
        fault(f"{DOCS}: no process shows {name}")
    for name in sorted({base(name, shown) for name in re.findall(r"\bhermod_\w+", text)} - shown):
        fault(f"{DOCS}: no process shows {name}")


def check_alerts():
    rules, tests, docs = RULES.read_text(), RULES_TEST.read_text(), DOCS.read_text()
    alerts = re.findall(r"- alert: (\w+)", rules)
    # What GitHub and others make of a heading.
    anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in re.findall(r"^#+ (.*)", docs, re.M)}
    for alert, block in zip(alerts, re.split(r"- alert: \w+", rules)[1:]):
        for part in ("summary:", "description:", "runbook_url:", "severity:"):
            if part not in block:
                fault(f"{RULES}: {alert} has no {part}")
        if f"runbook_url: {DOCS}#{alert.lower()}" not in block or alert.lower() not in anchors:
            fault(f"{RULES}: {alert} leads to no section of {DOCS}")
        checks = re.findall(rf'alertname="{alert}",alertstate="firing"\}}\'\n +eval_time: \w+\n +exp_samples:(.*)', tests)
        if not any("[]" in samples for samples in checks) or all("[]" in samples for samples in checks):
            fault(f"{RULES_TEST}: {alert} should be seen to fire, and not to fire")
    for heading in re.findall(r"^### (Hermod\w+)", docs, re.M):
        if heading not in alerts:
            fault(f"{DOCS}: there is no alert {heading}")
    return len(alerts)


def main():
    promtool, program = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        parsed, alerts = check_parse(promtool, folder), check_alerts()
        documented = set(re.findall(r"^\| `(hermod_\w+)`", DOCS.read_text(), re.M))
        with Hermod(os.path.abspath(program), folder) as hermod:
            hermod.use()
            deadline = time.monotonic() + SECONDS
            while True:
                scrapes = {"API": hermod.scrape(hermod.api), "worker": hermod.scrape(hermod.worker)}
                shown = set().union(*map(names_of, scrapes.values()))
                if documented <= shown or time.monotonic() > deadline:
                    break
                time.sleep(0.2)
        for process, scrape in scrapes.items():
            done = subprocess.run([promtool, "check", "metrics"], input=scrape, capture_output=True, text=True, check=False)
            if done.returncode != 0 or done.stdout or done.stderr:
                fault(f"promtool check metrics, {process}:\n{done.stdout}{done.stderr}")
            if "sk-bf-limited" in scrape:
                fault(f"{process}: the value of a virtual key is shown")
    check_names(shown)
    check_docs(shown)
    if faults:
        raise SystemExit("metrics check: failed:\n" + "\n".join(f"- {text}" for text in faults))
    print(f"metrics check: {len(shown)} metrics, {alerts} alerts and {parsed} expressions agree")


if __name__ == "__main__":
    main()
