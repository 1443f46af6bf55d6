"""Brings what is in Redis to what this version of the shop expects. A release runs it once, before the
new shop starts and while the one before still sells, so a step must leave both able to work.
"""

import json
import os

from shop.main import connect


def count_what_was_sold(pipe):
    """`sold` follows from the orders; the first shop had only those."""
    sold = {}
    for number in range(1, int(pipe.get("orders") or 0) + 1):
        for item in json.loads(pipe.get(f"order:{number}"))["items"]:
            sold[item["sku"]] = sold.get(item["sku"], 0) + item["quantity"]

    def write():
        if sold:
            pipe.hset("sold", mapping=sold)

    return write


# In order, and never changed once released: `schema` in Redis is how many of them are done.
STEPS = [count_what_was_sold]


def migrate(redis):
    """The names of the steps that were done. Each is done whole or not at all."""
    done = []
    while (step := attempt(redis)) is not None:
        done.append(step)
    return done


def attempt(redis):
    def one(pipe):
        version = int(pipe.get("schema") or 0)
        if version >= len(STEPS):
            pipe.multi()
            return None
        write = STEPS[version](pipe)
        pipe.multi()
        write()
        pipe.set("schema", version + 1)
        return STEPS[version].__name__

    # Redis refuses the transaction if someone sold something meanwhile, and `one` is called again.
    return redis.transaction(one, "schema", "orders", "sold", value_from_callable=True)


if __name__ == "__main__":
    steps = migrate(connect(os.environ))
    print("done:", ", ".join(steps) if steps else "nothing to do")
