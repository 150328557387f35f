"""A real Hermod, of `hermod up`, for all tests; and a proxy before it that loses answers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from hermod_client import Hermod

BINARY = Path(os.environ.get("HERMOD", Path(__file__).parents[3] / "target" / "debug" / "hermod"))
PATIENCE = 60.0
KEYS = ("sk-bf-first", "sk-bf-second")


def _config() -> object:
    grants = [{"provider": "demo", "allowed_models": ["*"], "key_ids": ["*"]}]
    keys = [{"id": key[6:], "name": key[6:], "value": key, "provider_configs": grants} for key in KEYS]
    return {"governance": {"virtual_keys": keys}}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where Hermod's API is."""
    folder = tmp_path_factory.mktemp("hermod")
    (folder / "config.json").write_text(json.dumps(_config()))
    port = _free_port()
    command = [str(BINARY), "up", "--listen", f"127.0.0.1:{port}", "--config", str(folder / "config.json")]
    command += ["--data-dir", str(folder / "data"), "--grace-seconds", "1", "--log", "warn"]
    with (folder / "up.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as up:
        url = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + PATIENCE
            while not _is_ready(url):
                text = (folder / "up.log").read_text()
                assert up.poll() is None, text
                assert time.monotonic() < deadline, text
                time.sleep(0.05)
            yield url
        finally:
            up.send_signal(signal.SIGINT)
            try:
                up.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                up.kill()


@pytest.fixture
def hermod(url: str) -> Iterator[Hermod]:
    """A client of it."""
    with Hermod(url) as hermod:
        yield hermod


class Proxy:
    """Stands between a client and the API, and hears what is asked."""

    def __init__(self, url: str) -> None:
        self._to = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.losing = 0
        """So many answers are lost: the API gives them, and the client's connection breaks."""
        self.lost = 0
        self.asked = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._to) as api:
            up = threading.Thread(target=self._forward, args=[client, api], daemon=True)
            up.start()
            try:
                while answer := api.recv(65536):
                    if self.losing > 0:
                        self.losing -= 1
                        self.lost += 1
                        break
                    client.sendall(answer)
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            up.join()

    def _forward(self, client: socket.socket, api: socket.socket) -> None:
        try:
            while asked := client.recv(65536):
                self.asked += asked
                api.sendall(asked)
            api.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    """A proxy before it."""
    proxy = Proxy(url)
    yield proxy
    proxy.close()
