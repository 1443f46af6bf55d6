"""The shop over HTTP: JSON in, JSON out."""

import json

import bottle
from redis.exceptions import RedisError

from shop.store import EmptyCart, OutOfStock, UnknownProduct

MAX_QUANTITY = 100


def create_app(store):
    """The WSGI application over a store."""
    app = bottle.Bottle()
    app.default_error_handler = as_json

    @app.get("/")
    def index():
        return {"shop": "open", "see": ["/products", "/carts/ann", "/orders/1", "/healthz"]}

    @app.get("/healthz")
    def healthz():
        # A shop that can't reach its database is not healthy, however well it answers.
        store.ping()
        return {"status": "ok"}

    @app.get("/products")
    def products():
        return {"products": store.products()}

    @app.get("/carts/<cart:re:[a-z0-9-]{1,64}>")
    def cart(cart):
        return store.cart(cart)

    @app.put("/carts/<cart:re:[a-z0-9-]{1,64}>/items/<sku>")
    def put_item(cart, sku):
        return store.put_item(cart, sku, asked_quantity())

    @app.post("/carts/<cart:re:[a-z0-9-]{1,64}>/order")
    def order(cart):
        placed = store.order(cart)
        bottle.response.status = 201
        bottle.response.set_header("Location", f"/orders/{placed['number']}")
        return placed

    @app.get("/orders/<number:int>")
    def find_order(number):
        found = store.find_order(number)
        if found is None:
            bottle.abort(404, f"there is no order {number}")
        return found

    app.install(errors_as_statuses)
    return app


def asked_quantity():
    """The quantity in the request's body, checked."""
    try:
        quantity = bottle.request.json["quantity"]
    except (KeyError, TypeError, bottle.HTTPError):
        bottle.abort(400, 'send JSON such as {"quantity": 2}')
    # `True` is an int in Python, and no quantity.
    if type(quantity) is not int or not 0 <= quantity <= MAX_QUANTITY:
        bottle.abort(400, f"quantity must be a whole number from 0 to {MAX_QUANTITY}")
    return quantity


def errors_as_statuses(callback):
    """The store's refusals, as the statuses that HTTP has for them."""

    def wrapper(*args, **kwargs):
        try:
            return callback(*args, **kwargs)
        except UnknownProduct as error:
            bottle.abort(404, str(error))
        except (EmptyCart, OutOfStock) as error:
            bottle.abort(409, str(error))
        except RedisError as error:
            # Strangers are told the kind of the error; its text, which may name hosts, goes to the log.
            print(f"database: {error}", file=bottle.request.environ["wsgi.errors"])
            bottle.abort(503, f"the database does not answer ({type(error).__name__})")

    return wrapper


def as_json(error):
    bottle.response.content_type = "application/json"
    return json.dumps({"error": error.body or error.status_line})
