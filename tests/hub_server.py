"""A stand-in for the Hugging Face hub: the part of its HTTP interface that huggingface_hub asks, in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_stand_in"
LARGE = ("*.onnx", "*.safetensors", "*.parquet", "*.zip", "*.tar")  # what goes by git-lfs, whatever its size


@dataclass
class Repository:
    """branches: name -> commit. commits: name -> its files, its message and its parent."""

    private: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, bytes], message: str) -> str:
        parent = self.branches.get(branch)
        oid = hashlib.sha1(f"{len(self.commits)}{message}".encode()).hexdigest()
        self.commits[oid] = {"files": files, "message": message, "parent": parent}
        self.branches[branch] = oid
        return oid

    def at(self, revision: str) -> str | None:
        revision = unquote(revision)
        return self.branches.get(revision, revision if revision in self.commits else None)


@dataclass
class Hub:
    """url: where it listens. repositories: by (kind, OWNER/NAME). stored: what git-lfs was given, by its sha256.

    answers: (method, part of a path) -> the status that is answered, instead of doing anything; 0 hangs up.
    """

    url: str = ""
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    answers: dict[tuple[str, str], int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def files(self, name: str, branch: str = "main", kind: str = "models") -> dict[str, bytes]:
        found = self.repositories[kind, name]
        return {k: v for k, v in found.commits[found.branches[branch]]["files"].items() if k != ".gitattributes"}

    def messages(self, name: str, branch: str = "main") -> list[str]:
        """What the commits of a branch say, the newest first."""
        found, told = self.repositories["models", name], []
        oid = found.branches[branch]
        while oid:
            told.append(found.commits[oid]["message"])
            oid = found.commits[oid]["parent"]
        return told

    def put(self, name: str, files: dict[str, bytes], kind: str = "models", private: bool = False) -> None:
        """A repository that somebody else filled."""
        made = self.repositories.setdefault((kind, name), Repository(private))
        made.commit("main", dict(files), "Somebody else's")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *arguments):
        pass

    def handle_one(self, method: str) -> None:
        path = urlsplit(self.path).path
        self.hub.asked.append(f"{method} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for (wanted, part), status in self.hub.answers.items():
            if method == wanted and part in path:
                return self.refuse(status) if status else self.hang_up()
        for wanted, pattern, answer in ROUTES:
            if method == wanted and (found := re.fullmatch(pattern, path)):
                with self.hub.lock:
                    return answer(self, body, *found.groups())
        return self.refuse(404)

    def do_GET(self):
        self.handle_one("GET")

    def do_HEAD(self):
        self.handle_one("HEAD")

    def do_POST(self):
        if self.may_write():
            self.handle_one("POST")
        else:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.refuse(401, "Invalid credentials in Authorization header")

    def do_PUT(self):
        self.handle_one("PUT")

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def may_write(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def send(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", headers.pop("size", str(len(content))))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def say(self, values: object, status: int = 200) -> None:
        self.send(status, json.dumps(values).encode(), Content_Type="application/json")

    def refuse(self, status: int, message: str = "", code: str = "") -> None:
        headers = {"X_Error_Message": message, "X_Error_Code": code}
        self.send(status, json.dumps({"error": message}).encode(), **{k: v for k, v in headers.items() if v})

    def found(self, kind: str, name: str, revision: str = "main"):
        """The repository and the commit, or None once the refusal was sent."""
        repository = self.hub.repositories.get((kind, name))
        if repository is None or (repository.private and not self.may_write()):
            return self.refuse(404, "Repository not found", "RepoNotFound")
        if (oid := repository.at(revision)) is None:
            return self.refuse(404, "Invalid rev id", "RevisionNotFound")
        return repository, oid

    def create(self, body):
        asked = json.loads(body)
        name, kind = f"{asked['organization']}/{asked['name']}", f"{asked.get('type') or 'model'}s"
        if (kind, name) in self.hub.repositories:
            return self.say({"error": "You already created this repo", "url": f"{self.hub.url}/{name}"}, 409)
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        made = self.hub.repositories[kind, name] = Repository(private)
        made.commit("main", {".gitattributes": b""}, "initial commit")
        self.say({"url": f"{self.hub.url}/{name}", "name": name})

    def info(self, body, kind, name, revision="main"):
        if found := self.found(kind, name, revision):
            repository, oid = found
            files = repository.commits[oid]["files"]
            told = {"id": name, "modelId": name, "sha": oid, "private": repository.private, "tags": []}
            told["siblings"] = [{"rfilename": each} for each in files]
            if (card := files.get("README.md", b"").decode()).startswith("---\n"):
                told["cardData"] = yaml.safe_load(card.split("---\n")[1])
            self.say(told)

    def tree(self, body, kind, name, revision):
        if found := self.found(kind, name, revision):
            repository, oid = found
            entries = []
            for path, content in repository.commits[oid]["files"].items():
                entry = {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                if is_large(path):
                    digest = hashlib.sha256(content).hexdigest()
                    entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
                entries.append(entry)
            self.say(entries)

    def branch(self, body, kind, name, branch):
        if found := self.found(kind, name):
            repository, oid = found
            if unquote(branch) in repository.branches:
                return self.say({"error": "Reference already exists"}, 409)
            repository.branches[unquote(branch)] = oid
            self.say({})

    def validate(self, body):
        content = json.loads(body)["content"]
        about = yaml.safe_load(content.split("---\n")[1])
        wrong = [] if about["license"] != "no-such-licence" else [{"message": '"license" must be one of [...]'}]
        self.say({"errors": wrong, "warnings": []}, 400 if wrong else 200)

    def preupload(self, body, kind, name, revision):
        if self.found(kind, name, revision):
            modes = [
                {"path": file["path"], "uploadMode": "lfs" if is_large(file["path"]) else "regular"}
                | {"shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            self.say({"files": modes})

    def batch(self, body, name):
        objects = []
        for each in json.loads(body)["objects"]:
            place = {"href": f"{self.hub.url}/store/{each['oid']}"}
            objects.append({**each, **({} if each["oid"] in self.hub.stored else {"actions": {"upload": place}})})
        self.say({"transfer": "basic", "objects": objects})

    def store(self, body, oid):
        self.hub.stored[oid] = body
        self.send(200)

    def commit(self, body, kind, name, revision):
        if not (found := self.found(kind, name, revision)):
            return
        repository, oid = found
        lines = [json.loads(line) for line in body.splitlines()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        if header.get("parentCommit") not in (None, oid):
            return self.refuse(412, "A commit has happened since")
        files = dict(repository.commits[oid]["files"])
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.stored[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        made = repository.commit(unquote(revision), files, header["summary"])
        self.say({"commitUrl": f"{self.hub.url}/{name}/commit/{made}", "commitOid": made, "success": True})

    def resolve(self, body, dataset, name, revision, path):
        kind = "datasets" if dataset else "models"
        if not (found := self.found(kind, name, revision)):
            return
        repository, oid = found
        content = repository.commits[oid]["files"].get(unquote(path))
        if content is None:
            return self.refuse(404, "Entry not found", "EntryNotFound")
        about = {"X_Repo_Commit": oid, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
        start = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
        self.send(206 if start else 200, content[int(start[1]) :] if start else content, **about)


def is_large(path: str) -> bool:
    return any(fnmatch(path, pattern) for pattern in LARGE)


KIND, NAME, REVISION = "(models|datasets)", "([^/]+/[^/]+)", "([^/]+)"
ROUTES = [
    ("POST", "/api/repos/create", Handler.create),
    ("POST", "/api/validate-yaml", Handler.validate),
    ("GET", f"/api/{KIND}/{NAME}", Handler.info),
    ("GET", f"/api/{KIND}/{NAME}/revision/{REVISION}", Handler.info),
    ("GET", f"/api/{KIND}/{NAME}/tree/{REVISION}", Handler.tree),
    ("POST", f"/api/{KIND}/{NAME}/branch/{REVISION}", Handler.branch),
    ("POST", f"/api/{KIND}/{NAME}/preupload/{REVISION}", Handler.preupload),
    ("POST", f"/api/{KIND}/{NAME}/commit/{REVISION}", Handler.commit),
    ("POST", rf"/{NAME}\.git/info/lfs/objects/batch", Handler.batch),
    ("PUT", "/store/(.+)", Handler.store),
    *[(method, f"/(datasets/)?{NAME}/resolve/{REVISION}/(.+)", Handler.resolve) for method in ("GET", "HEAD")],
]


@contextmanager
def listening():
    """A hub without repositories, at a port of this machine."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OfThisHub", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def environment(hub: Hub, cache: str) -> dict[str, str]:
    """The variables with which huggingface_hub asks this hub."""
    return {
        "HF_ENDPOINT": hub.url, "HF_HOME": cache, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
    }  # fmt: skip


def point_at(monkeypatch, hub: Hub, cache) -> None:
    """As `environment`, for huggingface_hub in this process, which read its variables when it was imported."""
    from huggingface_hub import constants, file_download, hf_api
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    for name, value in environment(hub, str(cache)).items():
        monkeypatch.setenv(name, value)
    for module in (constants, file_download):
        for name, value in {
            "ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": True, "HF_HUB_OFFLINE": False, "HF_HUB_CACHE": str(cache),
            "HUGGINGFACE_HUB_CACHE": str(cache), "HF_TOKEN_PATH": str(cache / "token"),
            "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        }.items():  # fmt: skip
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(hf_api.api, "endpoint", hub.url)
