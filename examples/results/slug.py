"""Names for addresses: `Ten Green Bottles!` becomes `ten-green-bottles`."""

import re
import sys

SEPARATOR = "-"


def slug(title):
    words = re.findall(r"\w+", title.lower())
    return SEPARATOR.join(words)


if __name__ == "__main__":
    print(slug(" ".join(sys.argv[1:])))
