# Fails until the names are in order, and leaves what they should be.
sort names.txt >/tmp/sorted.txt
diff names.txt /tmp/sorted.txt && echo "$GREETING: all in order"
