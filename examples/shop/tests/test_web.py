import pytest


def test_products_have_prices_and_stock(call):
    answer = call("GET", "/products")
    assert answer.status == 200
    assert {"sku": "mug", "name": "Mug, blue", "price": 890, "left": 120} in answer.body["products"]


def test_the_front_door_shows_what_there_is(call):
    answer = call("GET", "/")
    assert answer.status == 200
    assert "/products" in answer.body["see"]


def test_from_cart_to_order(call):
    assert call("PUT", "/carts/ann/items/mug", {"quantity": 2}).body["total"] == 1780
    placed = call("POST", "/carts/ann/order")
    assert placed.status == 201
    assert call("GET", placed.headers["Location"]).body == placed.body


@pytest.mark.parametrize("body", [b"", b"two", b"[]", b"null", b'{"pieces": 2}'])
def test_a_body_that_is_no_quantity_is_refused(call, body):
    assert call("PUT", "/carts/ann/items/mug", body).status == 400


@pytest.mark.parametrize("quantity", [-1, 101, 1.5, "2", True, None])
def test_a_quantity_is_a_small_whole_number(call, quantity):
    answer = call("PUT", "/carts/ann/items/mug", {"quantity": quantity})
    assert answer.status == 400
    assert "whole number" in answer.body["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nothing"),
        ("GET", "/orders/7"),
        ("GET", "/orders/seven"),
        ("GET", "/carts/Not_A_Cart"),
    ],
)
def test_what_is_not_there_is_404_in_json(call, method, path):
    answer = call(method, path)
    assert answer.status == 404
    assert answer.body["error"]


def test_an_unknown_product_is_404(call):
    assert call("PUT", "/carts/ann/items/yacht", {"quantity": 1}).status == 404


def test_what_can_not_be_ordered_is_409(call):
    assert call("POST", "/carts/ann/order").status == 409
    call("PUT", "/carts/ann/items/clock", {"quantity": 2})
    answer = call("POST", "/carts/ann/order")
    assert answer.status == 409
    assert answer.body["error"] == "2 x clock ordered, 1 left"


def test_healthy_while_the_database_answers(call):
    assert call("GET", "/healthz").status == 200


def test_not_healthy_without_the_database(call, server):
    server.connected = False
    for path in ("/healthz", "/products"):
        answer = call("GET", path)
        assert answer.status == 503
        assert answer.body == {"error": "the database does not answer (ConnectionError)"}
