#!/bin/sh
# The Test Anything Protocol needs no library: a plan, and a line for each test.
separator=$(sed -n 's/^SEPARATOR = "\(.*\)"$/\1/p' slug.py)
failed=0

echo "TAP version 13"
echo "1..3"
if [ "$separator" = - ]; then
  echo "ok 1 - words are joined by a hyphen"
else
  echo "not ok 1 - words are joined by a hyphen"
  echo "# got: '$separator'"
  echo "# expected: '-'"
  failed=1
fi
if grep -q '^"""' slug.py; then echo "ok 2 - the module says what it is for"; else echo "not ok 2 - the module says what it is for"; failed=1; fi
echo "ok 3 - it is on the package index # SKIP a sealed step has no network"
exit "$failed"
