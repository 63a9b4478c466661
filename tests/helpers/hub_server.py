"""A dataset hub on loopback that the real `huggingface_hub` and `datasets` speak to, and that fails on purpose.

It keeps whole commits (each a tree of its own), stores large files by their SHA-256, which it checks, and knows
tokens, owners and private datasets. `faults` name requests by `METHOD path` and what happens to them. Every request is
counted, so that a test can see what was sent and how often. Of Xet, the chunked storage of the real hub, it takes
uploads alone (`xet_bytes` counts them) and forgets them; without it, set HF_HUB_DISABLE_XET=1. With a `limit` it stores
that many files and keeps who sends more waiting: a push can then be stopped in the middle, however slow the machine is.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_secretSecretSecret"
LARGE = (".parquet", ".png")
PAGE = 25
INVALID = {"X-Error-Message": "Invalid credentials in Authorization header"}
Answer = tuple[int, Any, dict[str, str]]


@dataclass
class Fault:
    """What happens to requests that `match` (a regular expression on `METHOD path`), `times` times after `skip`.

    `act`: `answer` with status and message; `cut` the connection in the middle of the body; `lose` the answer of a
    request that was carried out; `damage` the body; `lie` about a file's hash in a listing.
    """

    match: str
    act: str = "answer"
    status: int = 500
    message: str = "on purpose"
    headers: Mapping[str, str] = field(default_factory=dict)
    skip: int = 0
    times: int = 1

    def hits(self, request: str) -> bool:
        if not re.search(self.match, request):
            return False
        self.skip -= 1
        if self.skip >= 0 or self.times == 0:
            return False
        self.times -= 1
        return True


class Pointer(bytes):
    """What stands for a file that was taken over Xet and forgotten: its bytes are its SHA-256 and its size."""

    def __new__(cls, oid: str, size: int) -> Self:
        return super().__new__(cls, f"{oid} {size}".encode())


Tree = dict[str, bytes]


@dataclass
class Repo:
    private: bool
    commits: list[tuple[str, Tree]]

    def tree(self, revision: str) -> tuple[str, Tree] | None:
        if revision == "main":
            return self.commits[-1]
        return next((commit for commit in self.commits if commit[0] == revision), None)


class HubServer:
    """Open it with `with`; `url` is for HF_ENDPOINT."""

    def __init__(self, *faults: Fault, limit: float = math.inf) -> None:
        self.faults, self.limit, self.tokens = list(faults), limit, {TOKEN}
        self.repos: dict[str, Repo] = {}
        self.renamed: dict[str, str] = {}
        self.store: Tree = {}
        self.requests: list[str] = []
        self.moments: list[float] = []
        self.put_bytes = self.xet_bytes = 0
        self.lock = threading.Lock()
        hub = self

        class Handler(_Handler):
            server_state = hub

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._http = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def files(self, repo: str, revision: str = "main") -> Tree:
        """The visible files of a dataset, without what the hub itself put there."""
        found = self.repos[repo].tree(revision)
        assert found is not None
        return {path: content for path, content in found[1].items() if path != ".gitattributes"}

    def count(self, match: str) -> int:
        return sum(bool(re.search(match, request)) for request in self.requests)

    def create(self, repo: str, private: bool, files: Mapping[str, bytes] | None = None) -> None:
        self.repos[repo] = Repo(private, [])
        self.commit(repo, {".gitattributes": b"*.parquet filter=lfs\n", **(files or {})})

    def rename(self, old: str, new: str) -> None:
        """Give a dataset another name; who asks for the old one is led on, until a new dataset takes it."""
        self.repos[new] = self.repos.pop(old)
        self.renamed[old] = new

    def edit(self, repo: str, path: str, content: bytes) -> None:
        """Commit one file as a person does on the hub's own page."""
        self.commit(repo, {**self.repos[repo].commits[-1][1], path: content})

    def commit(self, repo: str, tree: Tree) -> str:
        commits = self.repos[repo].commits
        oid = hashlib.sha1(f"{repo} {len(commits)}".encode()).hexdigest()
        commits.append((oid, tree))
        return oid


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: HubServer

    def log_message(self, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        hub, url = self.server_state, urlsplit(self.path)
        request = f"{self.command} {unquote(url.path)}"
        with hub.lock:
            hub.requests.append(request)
            hub.moments.append(time.monotonic())
            fault = next((each for each in hub.faults if each.hits(request)), None)
        act = fault.act if fault else ""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length // 2 if act == "cut" else length) if length else b""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b"".join(self._chunks())
        if act == "cut":
            self.close_connection = True
            return
        if fault and act == "answer":
            return self._send(fault.status, {"error": fault.message}, dict(fault.headers))
        if act == "damage":
            body = bytes([body[0] ^ 1]) + body[1:]
        self.lies = act == "lie"
        with hub.lock if self.command != "PUT" else _nothing():
            answer = self._route(request, parse_qs(url.query), body)
        if act == "lose":
            self.close_connection = True
            return
        self._send(*answer)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _serve

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _send(self, status: int, value: Any, headers: dict[str, str]) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _route(self, request: str, query: dict[str, list[str]], body: bytes) -> Answer:
        hub, path = self.server_state, request.split(" ", 1)[1]
        if path.startswith("/store/"):
            return self._put(path[7:], body)
        if path.startswith(("/v1/", "/v2/")):
            return self._take_chunks(path, body)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in hub.tokens:
            return 401, {"error": "the token has expired"}, INVALID
        if path == "/api/whoami-v2":
            return 200, {"type": "user", "name": "me", "fullname": "me", "orgs": [], "auth": {}}, {}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}, {}
        if path == "/api/repos/create":
            return self._create(json.loads(body), token)
        found = re.match(
            r"/(?:api/)?datasets/([^/]+/[^/.]+(?:\.[^/.]+)*?)(?:\.git/info/lfs/objects/(batch)|/(.*))?$", path
        )
        if found is not None and found[1] in hub.renamed and found[1] not in hub.repos:
            return 307, {}, {"Location": path.replace(found[1], hub.renamed[found[1]], 1)}
        if found is None or found[1] not in hub.repos or (hub.repos[found[1]].private and not token):
            return 404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"}
        repo, rest = hub.repos[found[1]], found[2] or found[3] or ""
        verb, revision, inner = [*rest.split("/", 2), "", ""][:3]
        return self._about(found[1], repo, verb, revision, inner, query, body)

    def _create(self, wish: dict[str, Any], token: str) -> Answer:
        hub = self.server_state
        owner = wish.get("organization") or "me"
        name, url = f"{owner}/{wish['name']}", f"{hub.url}/datasets/{owner}/{wish['name']}"
        if not token:
            return 401, {"error": "Unauthorized"}, {}
        if name in hub.repos:
            return 409, {"error": "You already created this dataset repo", "url": url, "id": name}, {}
        if owner != "me":
            return 403, {"error": f"You don't have the rights to create a dataset under the namespace {owner!r}"}, {}
        hub.create(name, private=wish.get("visibility", "private" if wish.get("private") else "public") == "private")
        return 200, {"url": url, "name": name, "id": name}, {}

    def _about(
        self, name: str, repo: Repo, verb: str, revision: str, path: str, query: dict[str, list[str]], body: bytes
    ) -> Answer:
        if verb == "batch":
            return self._batch(json.loads(body))
        if verb == "xet-write-token":
            facts = {"casUrl": self.server_state.url, "accessToken": "xet", "exp": int(time.time()) + 3600}
            names = zip(("Cas-Url", "Access-Token", "Token-Expiration"), facts.values(), strict=True)
            return 200, facts, {f"X-Xet-{name}": str(value) for name, value in names}
        if verb == "preupload":
            asked = json.loads(body)["files"]
            modes = [(each["path"], "lfs" if each["path"].endswith(LARGE) else "regular") for each in asked]
            files = [{"path": p, "uploadMode": mode, "shouldIgnore": False, "oid": None} for p, mode in modes]
            return 200, {"files": files}, {}
        if verb == "commit":
            return self._commit(name, repo, [json.loads(line) for line in body.splitlines()])
        tree = repo.tree(revision or "main")
        if tree is None:
            return 404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"}
        if verb in ("", "revision"):
            siblings = [{"rfilename": each} for each in tree[1]]
            facts = {"id": name, "sha": tree[0], "private": repo.private, "tags": [], "siblings": siblings}
            return 200, {**facts, "downloads": 0, "likes": 0, "cardData": {}}, {}
        if verb == "tree":
            return self._list(tree[1], path, query)
        if verb == "paths-info":
            sent = json.loads(body) if body.startswith(b"{") else parse_qs(body.decode())
            return 200, [self._entry(each, tree[1][each]) for each in sent["paths"] if each in tree[1]], {}
        if verb == "resolve" and path in tree[1]:
            return self._resolve(tree[0], tree[1][path])
        return 404, {"error": f"Entry not found: {path}"}, {"X-Error-Code": "EntryNotFound"}

    def _batch(self, asked: dict[str, Any]) -> Answer:
        hub, objects = self.server_state, []
        for each in asked["objects"]:
            actions = {"upload": {"href": f"{hub.url}/store/{each['oid']}?signature=s3cr3t"}}
            objects.append({**each, **({} if each["oid"] in hub.store else {"actions": actions})})
        return 200, {"transfer": "basic", "objects": objects}, {}

    def _take_chunks(self, path: str, body: bytes) -> Answer:
        """Version 1 of Xet's storage: blocks of chunks, then what files consist of; nothing is known from before."""
        answers = {"xorbs": {"was_inserted": True}, "shards": {"result": 1}, "telemetry": {}}
        kind = path.split("/")[2]
        if not path.startswith("/v1/") or kind not in answers:
            return 404, {"error": "not here"}, {}
        self.server_state.xet_bytes += len(body) if kind != "telemetry" else 0
        return 200, answers[kind], {}

    def _put(self, oid: str, body: bytes) -> Answer:
        hub = self.server_state
        with hub.lock:
            hub.put_bytes += len(body)
        if hashlib.sha256(body).hexdigest() != oid:
            return 400, {"error": "the content does not match its hash"}, {}
        while True:
            with hub.lock:
                if len(hub.store) < hub.limit:
                    hub.store[oid] = body
                    return 200, {}, {}
            time.sleep(0.01)

    def _commit(self, name: str, repo: Repo, lines: list[dict[str, Any]]) -> Answer:
        hub, (head, tree) = self.server_state, repo.commits[-1]
        tree = dict(tree)
        for line in lines:
            kind, value = line["key"], line["value"]
            if kind == "header" and value.get("parentCommit", head) != head:
                return 412, {"error": "A commit has happened since. Please refresh and try again."}, {}
            if kind == "file":
                tree[value["path"]] = base64.b64decode(value["content"])
            elif kind == "lfsFile":
                if value["oid"] not in hub.store and not hub.xet_bytes:
                    return 400, {"error": f"no object {value['oid']}"}, {}
                tree[value["path"]] = hub.store.get(value["oid"]) or Pointer(value["oid"], value["size"])
            elif kind == "deletedFile":
                del tree[value["path"]]
        oid = hub.commit(name, tree)
        return 200, {"success": True, "commitOid": oid, "commitUrl": f"{hub.url}/datasets/{name}/commit/{oid}"}, {}

    def _list(self, tree: Tree, folder: str, query: dict[str, list[str]]) -> Answer:
        prefix = f"{folder}/" if folder else ""
        inside = {path: content for path, content in sorted(tree.items()) if path.startswith(prefix)}
        if folder and not inside:
            return 404, {"error": "not found"}, {"X-Error-Code": "EntryNotFound"}
        found: dict[str, dict[str, Any]] = {}
        for path, content in inside.items():
            first, slash, _ = path[len(prefix) :].partition("/")
            if slash:
                found[prefix + first] = {"type": "directory", "path": prefix + first, "size": 0, "oid": "0" * 40}
            if not slash or query.get("recursive", [""])[0].lower() == "true":
                found[path] = self._entry(path, content)
        start = int(query.get("cursor", ["0"])[0])
        rest = {"recursive": query.get("recursive", ["false"])[0], "cursor": start + PAGE}
        link = f"{self.server_state.url}{urlsplit(self.path).path}?" + "&".join(f"{k}={v}" for k, v in rest.items())
        more = {"Link": f'<{link}>; rel="next"'} if start + PAGE < len(found) else {}
        return 200, list(found.values())[start : start + PAGE], more

    def _entry(self, path: str, content: bytes) -> dict[str, Any]:
        if isinstance(content, Pointer):
            oid, size = content.decode().split()
            lfs = {"oid": oid, "size": int(size), "pointerSize": 130}
            return {"type": "file", "path": path, "size": int(size), "oid": oid[:40], "lfs": lfs}
        blob = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
        entry = {"type": "file", "path": path, "size": len(content), "oid": blob}
        if path.endswith(LARGE):
            oid = "0" * 64 if self.lies else hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 130}
        return entry

    def _resolve(self, revision: str, content: bytes) -> Answer:
        headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Repo-Commit": revision,
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(found[1]), min(int(found[2] or len(content)), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            return 206, content[first : last + 1], headers
        return 200, content, headers


@contextmanager
def _nothing() -> Iterator[None]:
    yield
