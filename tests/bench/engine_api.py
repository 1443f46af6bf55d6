"""The engine's API without any client, to tell what of a time is the engine's own."""
import http.client
import json
import os
import socket
from concurrent.futures import ThreadPoolExecutor

# What hoist asks for, too: see `ContainerSpec`.
SEALED = {
    "NetworkMode": "none",
    "CapDrop": ["ALL"],
    "SecurityOpt": ["no-new-privileges"],
    "Init": True,
    "PidsLimit": 512,
    "Memory": 1 << 30,
    "MemorySwap": 1 << 30,
    "LogConfig": {"Type": "none"},
}


class Engine(http.client.HTTPConnection):
    """One connection to the engine in use."""

    def __init__(self):
        super().__init__("docker")

    def connect(self):
        address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(address.removeprefix("unix://"))

    def call(self, method, path, body=None):
        headers = {"Content-Type": "application/json"} if body else {}
        self.request(method, path, json.dumps(body) if body else None, headers)
        answer = self.getresponse()
        said = answer.read()
        if answer.status >= 400:
            raise SystemExit(f"bench: {method} {path}: {said.decode()}")
        return json.loads(said) if said else {}


def run_containers(image, command, count, at_once):
    """As many containers as that, each from its making to its removal."""

    def one(engine):
        body = {"Image": image, "Cmd": command, "HostConfig": SEALED}
        made = engine.call("POST", "/containers/create", body)["Id"]
        engine.call("POST", f"/containers/{made}/start")
        engine.call("POST", f"/containers/{made}/wait")
        engine.call("DELETE", f"/containers/{made}?force=1&v=1")

    def some(share):
        engine = Engine()
        for _ in range(share):
            one(engine)

    shares = [count // at_once + (place < count % at_once) for place in range(at_once)]
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(some, shares))
