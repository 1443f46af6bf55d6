"""Puts the application together from its environment. gunicorn starts it as `shop.main:app()`."""

import os
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shop.store import Store
from shop.web import create_app


def app():
    return create_app(Store(connect(os.environ)))


def connect(environment):
    """A Redis client. Nothing is sent before the first command, so the shop starts without Redis."""
    return redis.Redis(
        host=environment.get("DATABASE_HOST", "localhost"),
        port=int(environment.get("DATABASE_PORT", "6379")),
        password=password(Path(environment.get("DATABASE_PASSWORD_FILE", "/run/secrets/db_password"))),
        socket_connect_timeout=2,
        socket_timeout=2,
        # Once more, for a connection that was lost while idle. A customer is waiting: no more than that.
        retry=Retry(NoBackoff(), retries=1),
        decode_responses=True,
    )


def password(file):
    """The database's password; None, on a developer's machine, if there is no such file."""
    return file.read_text().strip() if file.exists() else None
