"""What the shop sells. The catalogue ships with the image; what was sold is in Redis."""

from typing import NamedTuple


class Product(NamedTuple):
    sku: str
    name: str
    price: int  # cents
    stock: int  # pieces delivered, before the first sale


PRODUCTS = {
    product.sku: product
    for product in (
        Product("kettle", "Kettle, 1.7 l", 3490, 25),
        Product("teapot", "Teapot, brown", 2250, 40),
        Product("mug", "Mug, blue", 890, 120),
        Product("clock", "Wall clock, oak", 5400, 1),
    )
}
