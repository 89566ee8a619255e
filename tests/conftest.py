"""Shared by all tests: one thread for torch, a cache of their own, a loopback server that speaks chat.completions."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from maia_kernel.driver.zygote import Zygote, available

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
    os.environ.pop(name, None)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache that all workers of one test run share, so that an exemplar store is built once and no user's is used."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if os.environ.get("PYTEST_XDIST_WORKER") else shared
    before = os.environ.get("MAIA_CACHE")
    os.environ["MAIA_CACHE"] = str(shared / "cache")
    yield
    os.environ.pop("MAIA_CACHE")
    if before is not None:
        os.environ["MAIA_CACHE"] = before


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Where a program lies; the test is skipped by name without it, and fails in CI."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            if os.environ.get("CI"):
                pytest.fail(f"{name} is missing; .ci/run installs it")
            pytest.skip(f"{name} is not installed")
        return path

    return find


class ChatServer:
    """A server on loopback that speaks chat.completions and answers from a list.

    Attributes
    ----------
    url : str
        What ``--base-url`` is given.
    requests : list of dict
        The bodies that came, in order.
    """

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self._answers: list[tuple[int, str, str]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.requests.append(body)
                status, kind, text = server._next()
                raw = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def answer(self, *texts: str, finish_reason: str = "stop", usage: dict[str, int] | None = None) -> None:
        """Queue proper replies."""
        for text in texts:
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
            body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
            self._answers.append((200, "application/json", json.dumps(body | ({"usage": usage} if usage else {}))))

    def answer_raw(self, status: int, kind: str, text: str) -> None:
        """Queue anything."""
        self._answers.append((status, kind, text))

    def _next(self) -> tuple[int, str, str]:
        return self._answers.pop(0) if self._answers else (404, "application/json", '{"error": {"message": "no more"}}')

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def chat_server() -> Iterator[ChatServer]:
    server = ChatServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished investigation of the embedded world by the offline experimenter, for reading only."""
    from maia_kernel import investigate

    path = tmp_path_factory.mktemp("finished") / "scenes.ipynb"
    investigate(out=path)
    return path


@pytest.fixture(scope="session")
def bare_zygote() -> Iterator[Zygote | None]:
    """Kernels in a moment, for tests whose cells need no torch; None where none can be forked."""
    if not available():
        yield None
        return
    with Zygote(preload=()) as zygote:
        yield zygote
