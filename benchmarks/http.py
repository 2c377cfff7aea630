"""What `make bench` runs: `python benchmarks/http.py --help` tells the options."""
# ruff: noqa: A005 - see below

import sys
from pathlib import Path

if __name__ == "__main__":
    # Python put this folder first, where this file would pass for the standard http.
    sys.path[0] = str(Path(__file__).parents[1])
    from benchmarks.command import app

    app()
