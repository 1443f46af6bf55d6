import io
import json
from typing import NamedTuple
from wsgiref.util import setup_testing_defaults

import fakeredis
import pytest

from shop.store import Store
from shop.web import create_app


class Answer(NamedTuple):
    status: int
    headers: dict
    body: dict


class Client:
    """Calls a WSGI application as a server would, with no server and no network."""

    def __init__(self, app):
        self.app = app

    def __call__(self, method, path, body=b""):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        setup_testing_defaults(environ)
        started = []
        content = b"".join(self.app(environ, lambda *args: started.append(args)))
        status, headers = started[0][:2]
        return Answer(int(status.split()[0]), dict(headers), json.loads(content))


@pytest.fixture
def server():
    """A Redis that lives in this process."""
    return fakeredis.FakeServer()


@pytest.fixture
def redis(server):
    return fakeredis.FakeRedis(server=server, decode_responses=True)


@pytest.fixture
def store(redis):
    return Store(redis)


@pytest.fixture
def call(store):
    return Client(create_app(store))
