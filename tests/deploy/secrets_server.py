"""The part of a Kubernetes API server that keeps secrets, with the rights of one service account."""

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TOKEN = "token-of-the-job"
PATH = "/api/v1/namespaces/ml/secrets"


class SecretsServer:
    """Its secrets by name, as they were sent. `allowed`: the names that may be read and replaced."""

    def __init__(self, folder: Path, allowed: set[str]) -> None:
        self.secrets: dict[str, dict[str, Any]] = {}
        self.allowed = allowed
        self.writes: list[str] = []
        self.account = folder / "account"
        self.account.mkdir()
        (self.account / "token").write_text(TOKEN + "\n")
        (self.account / "namespace").write_text("ml")
        self.url = ""

    def data(self, name: str) -> dict[str, bytes]:
        """What is in a secret."""
        return {key: base64.b64decode(value) for key, value in self.secrets[name]["data"].items()}

    def mount(self, name: str, folder: Path) -> None:
        """Its files as the kubelet mounts them."""
        folder.mkdir(parents=True)
        for file, content in self.data(name).items():
            (folder / file).write_bytes(content)

    def answer(self, method: str, path: str, token: str, body: dict[str, Any] | None) -> tuple[int, dict[str, Any]]:
        """Status and body."""
        name = path.removeprefix(PATH).lstrip("/")
        if token != f"Bearer {TOKEN}":
            return 401, {"message": "Unauthorized"}
        if not path.startswith(PATH) or (name and name not in self.allowed):
            return 403, {"message": f"secrets {name} is forbidden"}
        if method == "GET":
            return (200, self.secrets[name]) if name in self.secrets else (404, {"message": "not found"})
        assert body
        given = body["metadata"]["name"]
        if method == "POST" and given in self.secrets:
            return 409, {"message": "already exists"}
        if method == "PUT" and body["type"] != self.secrets[name]["type"]:
            return 422, {"message": "type: field is immutable"}
        self.secrets[given] = body
        self.writes.append(f"{method} {given}")
        return 201 if method == "POST" else 200, body

    @contextlib.contextmanager
    def serving(self) -> Iterator["SecretsServer"]:
        """Serve until the end of the block, in a thread of its own: its client blocks."""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def respond(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length)) if length else None
                token = self.headers.get("Authorization", "")
                status, answer = owner.answer(self.command, self.path, token, body)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = respond  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Keep silent."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_address[1]}"
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()
