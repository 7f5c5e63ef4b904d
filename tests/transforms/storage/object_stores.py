"""Local object stores: S3 by moto, Azure Blob by Azurite."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

__all__ = ["S3Store", "serve_azure", "serve_s3"]

_AZURITE: Final = "azurite@3.35.0"
_INSTALL_SECONDS: Final = 300
_START_SECONDS: Final = 60
#: The default account of Azurite.
_AZURITE_ACCOUNT: Final = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJPLl"
    "mEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;BlobEndpoint={url}"
    "/devstoreaccount1;"
)


@dataclass(slots=True)
class S3Store:
    """An S3 server and its requests.

    `refuses` selects the requests that get a 403 after half of their body was read.
    `bytes_sent` counts the bytes of answers to GET requests.
    """

    url: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    bytes_sent: int = 0
    refuses: Callable[[str, str], bool] = lambda method, target: False
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def environment(self) -> dict[str, str]:
        """The environment that points s3fs to it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextlib.contextmanager
def serve_s3() -> Iterator[S3Store]:
    """moto's server in a thread of this process, its requests counted."""
    server_module = pytest.importorskip("moto.server", reason="needs the dev extra: moto[s3]")
    from werkzeug.serving import WSGIRequestHandler, make_server

    store = S3Store()
    app = server_module.DomainDispatcherApplication(server_module.create_backend_app)

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *args: object) -> None:
            """Requests are recorded instead."""

    def counted(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        target = f"{environ['PATH_INFO']}?{environ['QUERY_STRING']}"
        method = environ["REQUEST_METHOD"]
        with store.lock:
            store.requests.append((method, target))
        if store.refuses(method, target):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0) // 2)
            start_response("403 Forbidden", [("Content-Length", "0"), ("Connection", "close")])
            return [b""]
        answer = list(app(environ, start_response))
        if method == "GET":
            with store.lock:
                store.bytes_sent += sum(len(chunk) for chunk in answer)
        return answer

    server = make_server("127.0.0.1", 0, counted, threaded=True, request_handler=Quiet)
    server.daemon_threads = True
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def serve_azure(folder: Path) -> Iterator[dict[str, str]]:
    """Azurite in a separate process; yields the environment that points adlfs to it."""
    log = folder / "azurite.log"
    command = [*_azurite(), "--blobPort", "0", "--location", str(folder)]
    command += ["--disableTelemetry", "--skipApiVersionCheck"]
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not (found := re.search(r"listens on (http://[\d.:]+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield {"AZURE_STORAGE_CONNECTION_STRING": _AZURITE_ACCOUNT.format(url=found[1])}
    finally:
        process.kill()
        process.wait()


def _azurite() -> list[str]:
    """The command of Azurite, installed from the npm registry the first time."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("needs npm and node, for Azurite")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "facetracks-tests" / _AZURITE
    program = folder / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        install = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), _AZURITE]
        done = subprocess.run(
            install, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
        )
        if done.returncode:
            pytest.skip(f"Azurite cannot be installed: {done.stderr.strip()[-200:]}")
    return [node, str(program)]
