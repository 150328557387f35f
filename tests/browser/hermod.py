"""A whole Hermod for a browser: `hermod up`, more processes beside it, a receiver of webhooks."""

import http.server
import json
import math
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

PROGRAM = os.environ["HERMOD"]
PATIENCE = 30.0

# What a script would have to be in, to be run: markup, attributes, addresses.
HOSTILE = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}&lt;"


def eventually(what, condition, patience=PATIENCE):
    """What the condition gives, once that is something."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {patience} s: {what}")
        time.sleep(0.05)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Receiver:
    """A receiver of webhooks that answers with an error and hostile text, then takes what comes."""

    def __init__(self):
        answers = iter([500])

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers.get("content-length", 0)))
                body = HOSTILE.encode()
                self.send_response(next(answers, 200))
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?secret=in-the-query"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()


class Hermod:
    """`hermod up` on free ports, with its data in a folder of its own."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hermod-browser-"))
        self.processes = []
        self.receiver = Receiver()
        self.url = f"http://127.0.0.1:{free_port()}"
        config = {
            "governance": {
                "rate_limits": [{"id": "slow", "request_max_limit": 1, "request_reset_duration": "1h"}],
                "budgets": [{"id": "money", "max_limit": 10, "reset_duration": "1d", "virtual_key_id": "vk-hostile"}],
                "virtual_keys": [
                    self.key("vk-hostile", HOSTILE),
                    self.key("vk-slow", "nightly evaluation", rate_limit_id="slow"),
                ],
            },
            "hermod": {"keys": {"vk-hostile": {"max_concurrent": 5}}},
        }
        path = self.folder / "given.json"
        path.write_text(json.dumps(config))
        self.log_path = self.folder / "up.log"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HERMOD_", "REDIS"))},
            "HERMOD_CONCURRENCY": "1",
            "HERMOD_LEASE_SECONDS": "1",
            "HERMOD_MAX_ATTEMPTS": "1",
            "HERMOD_UI_CONTENT": "on",
            "HERMOD_GRACE_SECONDS": "1",
        }
        listen = self.url.removeprefix("http://")
        args = ["up", "--listen", listen, "--workers", "1", "--data-dir", self.folder / "data", "--config", path]
        self.up = self.spawn(args, self.log_path)
        eventually("hermod up is ready", lambda: self.is_running(self.up) and "Hermod is up" in self.log())
        self.redis = re.search(r"^ *Redis +(\S+)", self.log(), re.M)[1]
        self.token = (self.folder / "data" / "setup-token").read_text().strip()

    @staticmethod
    def key(id, name, **more):
        grants = [{"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}]
        value = {"id": id, "name": name, "value": f"sk-bf-{id}", "is_active": True, "provider_configs": grants}
        return {**value, **more}

    def spawn(self, args, log, **more):
        with open(log, "ab") as out:
            process = subprocess.Popen(
                [PROGRAM, *map(str, args)],
                env={**self.environment, **more},
                stdout=out,
                stderr=out,
                start_new_session=True,
                cwd=self.folder,
            )
        self.processes.append(process)
        return process

    def is_running(self, process):
        assert process.poll() is None, f"it has ended: {self.log()}"
        return True

    def log(self):
        return self.log_path.read_text()

    def api(self, login=None, **more):
        """One more API process on the same Redis, with a login if one is given."""
        url = f"http://127.0.0.1:{free_port()}"
        path = self.folder / f"config-{len(self.processes)}.json"
        config = json.loads((self.folder / "data" / "config.json").read_text())
        if login:
            config["governance"]["auth_config"] = login
        path.write_text(json.dumps(config))
        log = self.folder / f"api-{len(self.processes)}.log"
        args = ["api", "--listen", url.removeprefix("http://"), "--config", path, "--redis-url", self.redis]
        process = self.spawn(args, log, **more)

        def is_ready():
            assert process.poll() is None, log.read_text()
            try:
                return urllib.request.urlopen(f"{url}/readyz", timeout=2).status == 200
            except OSError:
                return False

        eventually("the API is ready", is_ready)
        return url

    def worker(self):
        """One more worker."""
        args = ["worker", "--metrics-listen", "127.0.0.1:0", "--redis-url", self.redis]
        args += ["--config", self.folder / "data" / "config.json"]
        return self.spawn(args, self.folder / "worker.log", HERMOD_CONCURRENCY="8")

    def ask(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()}") from error

    def administer(self, method, path, body=None):
        return self.ask(method, path, body, x_bifrost_setup_token=self.token)

    def submit(self, model="demo/echo", prompt="Hello", fallbacks=(), **headers):
        body = {"model": model, "prompt": prompt, "fallbacks": list(fallbacks)}
        return self.ask("POST", "/v1/async/completions", body, **headers)["id"]

    def job(self, id, **headers):
        return self.ask("GET", f"/v1/async/completions/{id}", **headers)

    def ended(self, id, **headers):
        def is_ended():
            job = self.job(id, **headers)
            return job if job["status"] in ("completed", "failed") else None

        return eventually(f"job {id} has ended", is_ended)

    def running(self, number):
        metrics = lambda: urllib.request.urlopen(f"{self.url}/metrics").read().decode()
        eventually(f"{number} jobs run", lambda: f"hermod_queue_running {number}\n" in metrics())

    def fill_the_day(self):
        """A day's counters, so that a picture has lines: the shape of a day with an outage in it."""
        now, commands = int(time.time() // 60), []
        for minute in range(now - 1430, now):
            hour = minute / 60 % 24
            accepted = 30 + int(60 * math.sin(hour / 24 * math.tau - 1.8) ** 2) + minute * 7919 % 17
            down = now - 400 < minute < now - 370 or now - 22 < minute < now - 17
            failed = accepted // 3 if down else minute % 29 // 27
            for what, number in {"a": accepted, "c": accepted - failed, "f": failed}.items():
                commands.append(f"HSET {{hermod:0}}:counts:{minute // 10} {minute % 10}{what} {number}")
        socket = self.redis.removeprefix("unix://")
        subprocess.run(["redis-cli", "-s", socket], input="\n".join(commands).encode(), stdout=subprocess.DEVNULL, check=True)

    def stop(self):
        self.receiver.stop()
        for process in reversed(self.processes):
            if process.poll() is None:
                os.kill(process.pid, signal.SIGINT if process is self.up else signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
