#!/bin/sh
set -eu
echo "adding up" >&2
awk -v title="$TITLE" '{ sum += $2 } END { print title ": " sum }' prices.txt
