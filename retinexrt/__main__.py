"""`python -m retinexrt` is `retinexrt`."""

import sys

from runtime.commands.main import entry

if __name__ == "__main__":
    sys.exit(entry())
