import json

from shop.migrate import STEPS, migrate


def order(redis, number, **quantities):
    items = [{"sku": sku, "quantity": quantity} for sku, quantity in quantities.items()]
    redis.set(f"order:{number}", json.dumps({"number": number, "items": items}))
    redis.set("orders", number)


def test_what_was_sold_is_counted_from_the_orders(redis):
    order(redis, 1, mug=2, clock=1)
    order(redis, 2, mug=3)
    assert migrate(redis) == ["count_what_was_sold"]
    assert redis.hgetall("sold") == {"mug": "5", "clock": "1"}


def test_a_new_shop_has_sold_nothing(redis):
    assert migrate(redis) == [step.__name__ for step in STEPS]
    assert not redis.exists("sold")


def test_nothing_is_done_twice(redis, store):
    migrate(redis)
    store.put_item("ann", "mug", 2)
    store.order("ann")
    assert migrate(redis) == []
    assert redis.hgetall("sold") == {"mug": "2"}


def test_an_order_in_the_middle_is_counted_too(redis, store, monkeypatch):
    count, came = STEPS[0], []

    def late(pipe):
        write = count(pipe)
        if not came:
            came.append(store.put_item("bob", "mug", 4))
            store.order("bob")
        return write

    monkeypatch.setattr("shop.migrate.STEPS", [late])
    order(redis, 1, mug=1)
    migrate(redis)
    assert redis.hgetall("sold") == {"mug": "5"}
