"""Clients that call an API while its pods are replaced, and remember what went wrong."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

# How much later than Kubernetes a proxy, or another machine, knows which pods are ready.
LAG_SECONDS = 3.0


class Endpoints:
    """The addresses behind a Service, as they are, and as others know them some seconds later."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.history: list[tuple[float, tuple[str, ...]]] = [(0.0, ())]

    def set(self, addresses: list[str]) -> None:
        with self.lock:
            self.history.append((time.monotonic(), tuple(addresses)))

    def known(self) -> tuple[str, ...]:
        """Those of a moment ago; the first ones at once."""
        with self.lock:
            seen = [addresses for at, addresses in self.history if at <= time.monotonic() - LAG_SECONDS and addresses]
            return seen[-1] if seen else self.history[-1][1]


@dataclass
class Outcome:
    """What the clients have seen."""

    answers: Counter = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    # Requests on a connection that the server had just closed, answered at the second try; HTTP clients do the same.
    sent_again: int = 0
    jobs: list[str] = field(default_factory=list)


class Clients:
    """Threads that submit, poll and wait, with a connection for each request or with lasting ones."""

    def __init__(self, endpoints: Endpoints, port: int):
        self.endpoints, self.port = endpoints, port
        self.stop, self.lock, self.outcome = threading.Event(), threading.Lock(), Outcome()
        loops = [self.with_new_connections] * 3 + [self.with_lasting_connections] * 3 + [self.waiting] * 2
        self.threads = [threading.Thread(target=self.guarded, args=(loop,), daemon=True) for loop in loops]

    def __enter__(self) -> Clients:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(90)

    def guarded(self, loop) -> None:
        try:
            loop()
        except Exception as error:  # A client that ends early must not look like one that is content.
            self.outcome.failures.append(f"{loop.__name__} ended: {error!r}")

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(random.choice(self.endpoints.known()), self.port, timeout=70)

    def note(self, status: int, expected: set[int], what: str) -> None:
        with self.lock:
            self.outcome.answers[status] += 1
            if status not in expected:
                self.outcome.failures.append(f"{what}: {status}")

    def submit(self, connection: http.client.HTTPConnection, model: str, **headers: str) -> tuple[int, str]:
        body = json.dumps({"model": model, "prompt": "Hello"})
        connection.request("POST", "/v1/async/completions", body, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status not in (200, 202):
            return answer.status, ""
        return answer.status, json.loads(text)["id"]

    def with_new_connections(self) -> None:
        while not self.stop.is_set():
            connection = self.connect()
            try:
                status, job = self.submit(connection, "demo/echo")
                self.note(status, {202}, "submit on a new connection")
                with self.lock:
                    self.outcome.jobs.append(job)
            except (OSError, http.client.HTTPException) as error:
                self.outcome.failures.append(f"new connection to {connection.host}: {error!r}")
            connection.close()
            self.stop.wait(0.05)

    def with_lasting_connections(self) -> None:
        connection, used = self.connect(), 0
        while not self.stop.is_set():
            try:
                connection.request("GET", "/livez")
                answer = connection.getresponse()
                answer.read()
                self.note(answer.status, {200}, "request on a lasting connection")
                used += 1
                if answer.will_close:
                    connection, used = self.connect(), 0
            except (OSError, http.client.HTTPException) as error:
                # Closed while it was idle: nothing of an answer has come.
                if not used or isinstance(error, TimeoutError):
                    self.outcome.failures.append(f"lasting connection to {connection.host}: {error!r}")
                else:
                    self.outcome.sent_again += 1
                connection.close()
                connection, used = self.connect(), 0
            self.stop.wait(0.02)

    def waiting(self) -> None:
        """A client that waits for jobs longer than a pod may live."""
        while not self.stop.is_set():
            connection = self.connect()
            try:
                status, _ = self.submit(connection, "demo/slow-12s", Prefer="wait=30")
                self.note(status, {200, 202}, "submit with a wait")
            except (OSError, http.client.HTTPException) as error:
                self.outcome.failures.append(f"wait at {connection.host}: {error!r}")
            connection.close()
