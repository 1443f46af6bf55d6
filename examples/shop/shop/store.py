"""Carts, orders and stock in Redis.

Keys: `cart:ID` (sku -> quantity), `sold` (sku -> pieces), `order:N` (JSON), `orders` (a counter),
`schema` (see `migrate.py`).
"""

import json

from shop.catalogue import PRODUCTS

CART_SECONDS = 24 * 60 * 60


class UnknownProduct(Exception):
    """There is no such product."""


class EmptyCart(Exception):
    """There is nothing in the cart to order."""


class OutOfStock(Exception):
    """There are fewer pieces left than were asked for."""


class Store:
    def __init__(self, redis):
        """`redis` is a client that decodes responses to text."""
        self.redis = redis

    def ping(self):
        """Raises if the database can't be reached or refuses the password."""
        self.redis.ping()

    def products(self):
        sold = self.redis.hgetall("sold")
        return [
            {
                "sku": product.sku,
                "name": product.name,
                "price": product.price,
                "left": product.stock - int(sold.get(product.sku, 0)),
            }
            for product in PRODUCTS.values()
        ]

    def put_item(self, cart, sku, quantity):
        """Sets how many pieces of a product are in a cart; 0 takes it out."""
        if sku not in PRODUCTS:
            raise UnknownProduct(f"there is no product {sku!r}")
        key = f"cart:{cart}"
        if quantity == 0:
            self.redis.hdel(key, sku)
        else:
            self.redis.hset(key, sku, quantity)
            self.redis.expire(key, CART_SECONDS)
        return self.cart(cart)

    def cart(self, cart):
        return priced(self.redis.hgetall(f"cart:{cart}"))

    def order(self, cart):
        """Turns a cart into an order. All of it is in stock, or nothing is ordered."""
        key = f"cart:{cart}"

        def place(pipe):
            order = priced(pipe.hgetall(key))
            if not order["items"]:
                raise EmptyCart(f"cart {cart!r} is empty")
            for item in order["items"]:
                sold = int(pipe.hget("sold", item["sku"]) or 0)
                left = PRODUCTS[item["sku"]].stock - sold
                if item["quantity"] > left:
                    raise OutOfStock(f"{item['quantity']} x {item['sku']} ordered, {left} left")
            order = {"number": int(pipe.get("orders") or 0) + 1, **order}
            pipe.multi()
            pipe.incr("orders")
            pipe.set(f"order:{order['number']}", json.dumps(order))
            for item in order["items"]:
                pipe.hincrby("sold", item["sku"], item["quantity"])
            pipe.delete(key)
            return order

        # Redis refuses the transaction if a watched key changed, and `place` is called again.
        return self.redis.transaction(place, key, "sold", "orders", value_from_callable=True)

    def find_order(self, number):
        """The order, or None."""
        found = self.redis.get(f"order:{number}")
        return json.loads(found) if found else None


def priced(quantities):
    """A cart as it is shown: its items in the catalogue's order, and the total in cents."""
    items = [
        {"sku": sku, "quantity": int(quantities[sku]), "price": product.price}
        for sku, product in PRODUCTS.items()
        if sku in quantities
    ]
    return {"items": items, "total": sum(item["quantity"] * item["price"] for item in items)}
