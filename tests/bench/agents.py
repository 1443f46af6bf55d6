"""What `hoist mcp` costs: until it answers, for a run, and while nobody asks anything."""
import json
import re
import subprocess
import tempfile
import time
from pathlib import Path

from measure import HOIST, hoist, medians, ratio_row, row

HELLO = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "1"},
}
STEP = """name = "bench"
[steps.it]
image = "debian:bookworm-slim"
source = false
cache = false
run = ["true"]
"""


class Server:
    """A server over stdio, and the ends of its streams."""

    def __init__(self, folder):
        pipe = subprocess.PIPE
        command = [HOIST, "mcp", "--root", folder]
        self.child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        self.last = 0
        self.ask("initialize", HELLO)
        self.send({"method": "notifications/initialized"})

    def send(self, message):
        self.child.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.child.stdin.flush()

    def ask(self, method, params):
        self.last += 1
        self.send({"id": self.last, "method": method, "params": params})
        for line in self.child.stdout:
            answer = json.loads(line)
            if answer.get("id") == self.last:
                return answer["result"]
        raise SystemExit(f"bench: no answer to {method}")

    def resident(self):
        """Bytes in memory."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024

    def end(self):
        self.child.stdin.close()
        self.child.wait()


def bench_agents():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pipeline.toml").write_text(STEP)

        def listed():
            start = time.monotonic()
            server = Server(folder)
            server.ask("tools/list", {})
            took = time.monotonic() - start
            server.end()
            return took

        (took,) = medians(15, listed)
        row("`hoist mcp`: start to the list of tools", f"{took * 1000:.0f} ms", "<= 50 ms", took <= 0.05)
        server = Server(folder)

        def run():
            start = time.monotonic()
            answer = server.ask("tools/call", {"name": "run_pipeline", "arguments": {}})
            took = time.monotonic() - start
            if answer["structuredContent"]["run"]["status"] != "succeeded":
                raise SystemExit(f"bench: {answer}")
            return took

        try:
            ours, theirs = medians(15, run, lambda: hoist(folder))
            ratio_row("run_pipeline of a trivial step / hoist run", ours, theirs, 1.1)
            server.ask("tools/list", {})
            idle = server.resident()
            row("`hoist mcp`: resident after that", f"{idle / 1e6:.1f} MB", "<= 20 MB", idle <= 20_000_000)
        finally:
            server.end()
