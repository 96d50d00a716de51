"""`python -m runtime` is `retinexrt`; with --cmake-dir it prints where C++ projects find the headers' CMake package."""

import sys

from runtime.commands.main import entry

if __name__ == "__main__":
    sys.exit(entry())
