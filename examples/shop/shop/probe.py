"""What the health check runs: asks the shop, prints its answer, and fails unless that is well."""

import sys
from urllib.error import HTTPError
from urllib.request import urlopen

SECONDS = 4


def probe(url):
    """The exit code. What is printed is what the engine keeps, and what a failed deploy shows."""
    try:
        with urlopen(url, timeout=SECONDS) as answer:
            print(answer.status, answer.read().decode())
            return 0
    except HTTPError as refusal:
        print(refusal.code, refusal.read().decode())
    except OSError as error:
        print(error)
    return 1


if __name__ == "__main__":
    sys.exit(probe(sys.argv[1]))
