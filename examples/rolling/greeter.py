"""Greets over HTTP. It is ready a moment after its start, and ends what it had begun when asked to."""

import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GREETING = os.environ["GREETING"]
SICK = os.environ.get("SICK") == "yes"


class Greeter(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status = 503 if SICK and self.path == "/healthz" else 200
        body = f"{GREETING}\n".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


time.sleep(1)
server = ThreadingHTTPServer(("", 8000), Greeter)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
