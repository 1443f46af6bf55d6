#!/bin/sh
# Looks at its own container and writes what it finds as JUnit.
set -u
cases=
failed=0

check() {
    name=$1
    shift
    if "$@"; then
        echo "ok      $name"
        cases="$cases<testcase classname=\"sealed\" name=\"$name\"/>"
    else
        echo "not ok  $name"
        cases="$cases<testcase classname=\"sealed\" name=\"$name\"><failure message=\"not so\">$*</failure></testcase>"
        failed=$((failed + 1))
    fi
}

# The table of routes has a heading and nothing else.
check "has no way into any network" test "$(wc -l < /proc/net/route)" -le 1
check "has no capabilities" grep -q '^CapBnd:[[:space:]]*0*$' /proc/self/status
check "can gain no privileges" grep -q '^NoNewPrivs:[[:space:]]*1$' /proc/self/status

echo "<testsuite name=\"hello\" failures=\"$failed\">$cases</testsuite>" > /reports/hello.xml
exit "$failed"
