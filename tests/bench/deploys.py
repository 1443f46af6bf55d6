"""Deploys: how soon a new version has the traffic, and how long it takes to see that nothing is to be done."""
import random
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from measure import HOIST, medians, row, say, timed

IMAGE, READY_IN = "python:3.11-slim-bookworm", 2
# Ready so long after its process began, however long Python takes to come up.
SERVER = f"""
import http.server, os, time
began = int(open("/proc/self/stat").read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["VERSION"].encode())
    def log_message(self, *arguments):
        pass
time.sleep(max(0, {READY_IN} - (time.clock_gettime(time.CLOCK_BOOTTIME) - began)))
server = http.server.ThreadingHTTPServer(("", 8000), Handler)
open("/tmp/ready", "w").close()
server.serve_forever()
"""
PIPELINE = """name = "bench-deploys"
[steps.up.deploy]
environment = "bench"
keep = 0
[steps.up.deploy.services.web]
image = "{image}"
command = ["python", "-c", '''{server}''']
environment = {{ VERSION = "{version}" }}
strategy = "blue-green"
update_config = {{ monitor = "1s" }}
ports = ["127.0.0.1:{port}:8000"]
drain = "1s"
stop_grace_period = "1s"
[steps.up.deploy.services.web.healthcheck]
test = ["CMD", "test", "-e", "/tmp/ready"]
interval = "100ms"
timeout = "2s"
retries = 50
[environments.bench]
"""
COMPOSE = """name: bench-deploys-compose
services:
  web:
    image: {image}
    command: ["python", "-c", {server!r}]
    environment: {{ VERSION: "{version}" }}
    ports: ["127.0.0.1:{port}:8000"]
    stop_grace_period: 1s
    healthcheck:
      test: ["CMD", "test", "-e", "/tmp/ready"]
      interval: 100ms
      timeout: 2s
      retries: 50
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def says(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1) as answer:
            return answer.read().decode()
    except OSError:
        return None


def until_it_says(command, folder, port, version):
    """Seconds from the command's start to the first answer of that version. The command ends well afterwards."""
    null = subprocess.DEVNULL
    start = time.monotonic()
    child = subprocess.Popen(command, cwd=folder, stdout=null, stderr=null)
    while says(port) != version:
        if time.monotonic() - start > 60:
            child.kill()
            raise SystemExit(f"bench: {version} does not answer")
        time.sleep(0.005)
    seconds = time.monotonic() - start
    if child.wait():
        raise subprocess.CalledProcessError(child.returncode, child.args)
    return seconds


def has_compose():
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0


def engine_alone():
    """Seconds that the engine takes for the same container, from nothing to its first answer."""
    port, version = free_port(), random.randbytes(6).hex()
    command = ["docker", "run", "--rm", "--init", "--detach", "--name", f"bench-deploys-{port}", "--env", f"VERSION={version}"]
    command += ["--publish", f"127.0.0.1:{port}:8000", IMAGE, "python", "-c", SERVER]
    try:
        return until_it_says(command, None, port, version)
    finally:
        subprocess.run(["docker", "rm", "--force", f"bench-deploys-{port}"], capture_output=True)


def deployment(folder, name, template, command, down):
    """A deployed service, as two measurements: a new version, and nothing new. And what takes it away."""
    folder = Path(folder, name.split(".")[0])
    folder.mkdir()
    port = free_port()

    def write():
        version = random.randbytes(6).hex()
        text = template.format(image=IMAGE, server=SERVER, version=version, port=port)
        Path(folder, name).write_text(text)
        return version

    def replaced():
        return until_it_says(command, folder, port, write())

    def unchanged():
        return timed(command, cwd=folder)

    def end():
        subprocess.run(down, cwd=folder, capture_output=True)

    return replaced, unchanged, end


def bench_deploys():
    run, down = [HOIST, "--progress", "plain", "run"], [HOIST, "down", "bench", "--volumes"]
    with tempfile.TemporaryDirectory() as folder:
        measured = [deployment(folder, "pipeline.toml", PIPELINE, run, down)]
        if has_compose():
            up, away = ["docker", "compose", "up", "--detach", "--wait"], ["docker", "compose", "down"]
            measured.append(deployment(folder, "compose.yaml", COMPOSE, up, away))
        else:
            say("left out: Compose, which is not here, and docker-rollout, which needs it")
        replaced, unchanged, ends = zip(*measured)
        try:
            ours, alone, *theirs = medians(5, replaced[0], engine_alone, *replaced[1:])
            most = READY_IN + 0.4
            row(f"blue-green to the switch, ready in {READY_IN} s", f"{ours:.2f} s", f"<= {most} s", ours <= most)
            row("the same / docker run, to the first answer", f"{ours / alone:.2f}  ({alone:.2f} s)", "nothing", True)
            for their in theirs:
                row("the same / compose up, with an outage", f"{ours / their:.2f}  ({their:.2f} s)", "nothing", True)
            ours, *theirs = medians(15, *unchanged)
            row("nothing to deploy", f"{ours:.3f} s", "<= 0.2 s", ours <= 0.2)
            for their in theirs:
                row("the same / compose up", f"{ours / their:.2f}  ({their:.3f} s)", "nothing", True)
        finally:
            for end in ends:
                end()
