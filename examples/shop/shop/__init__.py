"""A small shop: products, carts and orders behind HTTP, kept in Redis."""
