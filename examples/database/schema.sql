CREATE TABLE product (
  id    integer PRIMARY KEY,
  name  text NOT NULL CHECK (name <> ''),
  stock integer NOT NULL CHECK (stock >= 0)
);

CREATE TABLE purchase (
  product integer NOT NULL REFERENCES product,
  amount  integer NOT NULL CHECK (amount > 0),
  at      timestamptz NOT NULL DEFAULT now()
);

CREATE VIEW sold AS
  SELECT (at AT TIME ZONE 'UTC')::date AS day, sum(amount) AS amount FROM purchase GROUP BY day;

CREATE FUNCTION take_from_stock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE product SET stock = stock - NEW.amount WHERE id = NEW.product;
  RETURN NEW;
END $$;

CREATE TRIGGER purchase_takes_from_stock
  AFTER INSERT ON purchase FOR EACH ROW EXECUTE FUNCTION take_from_stock();
