import pytest

from shop.catalogue import PRODUCTS
from shop.store import EmptyCart, OutOfStock, UnknownProduct


def left(store, sku):
    return next(product["left"] for product in store.products() if product["sku"] == sku)


def test_a_cart_adds_up(store):
    store.put_item("ann", "kettle", 1)
    assert store.put_item("ann", "mug", 4)["total"] == 3490 + 4 * 890


def test_zero_takes_a_product_out(store):
    store.put_item("ann", "mug", 4)
    assert store.put_item("ann", "mug", 0) == {"items": [], "total": 0}


def test_carts_are_kept_apart(store):
    store.put_item("ann", "mug", 4)
    assert store.cart("bob")["items"] == []


def test_a_cart_is_forgotten_after_a_day(store, redis):
    store.put_item("ann", "mug", 4)
    assert 0 < redis.ttl("cart:ann") <= 24 * 60 * 60


def test_a_product_must_exist(store):
    with pytest.raises(UnknownProduct, match="yacht"):
        store.put_item("ann", "yacht", 1)


def test_an_order_empties_the_cart_and_takes_from_the_stock(store):
    store.put_item("ann", "teapot", 3)
    store.order("ann")
    assert store.cart("ann")["items"] == []
    assert left(store, "teapot") == PRODUCTS["teapot"].stock - 3


def test_orders_are_numbered_and_found_again(store):
    for cart in ("ann", "bob"):
        store.put_item(cart, "mug", 1)
        placed = store.order(cart)
        assert store.find_order(placed["number"]) == placed
    assert placed["number"] == 2


def test_an_empty_cart_is_no_order(store):
    with pytest.raises(EmptyCart):
        store.order("ann")


def test_the_last_piece_is_sold_once(store):
    for cart in ("ann", "bob"):
        store.put_item(cart, "clock", 1)
    store.order("ann")
    with pytest.raises(OutOfStock, match="1 x clock ordered, 0 left"):
        store.order("bob")
    assert store.cart("bob")["items"], "a refused order leaves the cart as it was"


def test_an_order_is_placed_whole_or_not_at_all(store):
    store.put_item("ann", "mug", 2)
    store.put_item("ann", "clock", 2)
    with pytest.raises(OutOfStock):
        store.order("ann")
    assert left(store, "mug") == PRODUCTS["mug"].stock


def test_a_sale_in_between_is_seen(store, redis, monkeypatch):
    """Someone else buys the last clock after this order read the stock, before it is written."""
    store.put_item("ann", "clock", 1)
    transaction = redis.transaction

    def raced(place, *watches, **options):
        races = iter([True])

        def place_late(pipe):
            placed = place(pipe)
            if next(races, False):
                redis.hincrby("sold", "clock", 1)
            return placed

        return transaction(place_late, *watches, **options)

    monkeypatch.setattr(redis, "transaction", raced)
    with pytest.raises(OutOfStock):
        store.order("ann")
