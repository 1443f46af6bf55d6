# Tests the schema in a real database and says how it went as TAP.
export PGPASSWORD="$(cat /run/secrets/db_password)"

sql() { psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 "$@"; }

number=0 failed=0
# check NAME EXPECTED ACTUAL
check() {
  number=$((number + 1))
  if [ "$2" = "$3" ]; then
    echo "ok $number - $1"
  else
    echo "not ok $number - $1"
    printf '  ---\n  message: "expected %s, got %s"\n  ...\n' "$2" "$3"
    failed=1
  fi
}
# attempt STATEMENT: `done` or `refused`
attempt() { sql --command="$1" >/dev/null 2>&1 && echo done || echo refused; }

echo "1..5"
sql --file=schema.sql || { echo "Bail out! the schema cannot be loaded"; exit 1; }
sql --command="INSERT INTO product VALUES (1, 'kettle', 3)"
check "a purchase takes from the stock" "1" "$(sql --command='INSERT INTO purchase VALUES (1, 2)' --command='SELECT stock FROM product')"
check "more than there is cannot be bought" "refused" "$(attempt 'INSERT INTO purchase VALUES (1, 2)')"
check "a refused purchase leaves the stock alone" "1" "$(sql --command='SELECT stock FROM product')"
check "what is not for sale cannot be bought" "refused" "$(attempt 'INSERT INTO purchase VALUES (2, 1)')"
sql --command="UPDATE purchase SET at = '2026-01-31 23:30+00'"
check "a day ends at midnight UTC" "2026-01-31" "$(sql --command='SELECT day FROM sold')"
exit $failed
