import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from shop.probe import probe
from shop.web import create_app


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def url(store):
    """The shop behind a real socket; a sealed container still has its own loopback."""
    with make_server("127.0.0.1", 0, create_app(store), handler_class=Quiet) as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{listener.server_port}/healthz"
        listener.shutdown()
        thread.join()


def test_a_healthy_shop_is_0(url, capsys):
    assert probe(url) == 0
    assert capsys.readouterr().out == '200 {"status": "ok"}\n'


def test_a_shop_without_its_database_is_1_and_says_so(url, server, capsys):
    server.connected = False
    assert probe(url) == 1
    assert capsys.readouterr().out.startswith('503 {"error": "the database does not answer')


def test_no_shop_is_1(capsys):
    # Port 0 is never listened on.
    assert probe("http://127.0.0.1:0/healthz") == 1
    assert "refused" in capsys.readouterr().out
