"""A hub of one's own on this machine: folders served by the few addresses that downloading asks for."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

SHA = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """repositories: {"models/…" or "datasets/…": folder}; pages: {path: content}; cut_off: a
    file that breaks off near its end; dead: one that is refused. asked: (name, first byte) of files sent."""

    repositories: Mapping[str, Path]
    pages: dict[str, bytes] = field(default_factory=dict)
    cut_off: str = ""
    dead: str = ""
    asked: list[tuple[str, int]] = field(default_factory=list)
    address: str = ""


@contextlib.contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serves a hub until the end of the block; its `address` is set."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            answer(self, hub, with_content=True)

        def do_HEAD(self):
            answer(self, hub, with_content=False)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(request, hub: Hub, with_content: bool) -> None:
    path = unquote(urlsplit(request.path).path)
    if path in hub.pages:
        send(request, hub.pages[path], {}, with_content)
        return
    for name, folder in hub.repositories.items():
        kind, own = name.split("/", 1)
        if path.startswith(f"/api/{name}/revision/"):
            send(request, json.dumps({"id": own, "sha": SHA}).encode(), {}, with_content)
            return
        if path.startswith(f"/api/{name}/tree/"):
            send(request, json.dumps(listing(folder)).encode(), {}, with_content)
            return
        prefix = f"/{own}/resolve/" if kind == "models" else f"/{name}/resolve/"
        file = folder / path.removeprefix(prefix).partition("/")[2]
        if path.startswith(prefix) and file.is_file():
            send_file(request, hub, file, with_content)
            return
    headers = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
    send(request, b"", headers, with_content, status=404)


def listing(folder: Path) -> list[dict]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [
        {"type": "file", "path": str(path.relative_to(folder)), "size": path.stat().st_size, "oid": tag(path)}
        for path in files
    ]


def tag(path: Path) -> str:
    return hashlib.sha1(f"{path.name} {path.stat().st_size}".encode()).hexdigest()


def send_file(request, hub: Hub, file: Path, with_content: bool) -> None:
    size, wanted = file.stat().st_size, request.headers.get("Range", "")
    first = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
    headers = {"Content-Length": str(size - first), "ETag": f'"{tag(file)}"', "X-Repo-Commit": SHA}
    if not with_content:
        send(request, b"", headers, False)
        return
    if file.name == hub.dead:
        send(request, b"", {}, True, status=403)
        return
    hub.asked.append((file.name, first))
    content = file.read_bytes()
    if wanted:
        headers["Content-Range"] = f"bytes {first}-{size - 1}/{size}"
    # (the client keeps what it got in pieces of 10 MiB)
    stop = size - 1000 if file.name == hub.cut_off and not first else size
    send(request, content[first:stop], headers, True, 206 if wanted else 200)
    request.close_connection |= stop < size


def send(request, content: bytes, headers: Mapping, with_content: bool, status: int = 200) -> None:
    request.send_response(status)
    for name, value in {"Content-Length": str(len(content)), **headers}.items():
        request.send_header(name, value)
    request.end_headers()
    if with_content:
        request.wfile.write(content)
