"""What `make bench-gpu` runs: `python benchmarks/gpu.py --help` tells the options.

It needs PyTorch, transformers, Pillow and this repository, of which nothing needs to be
installed; where the whole service is installed, it is measured over HTTP as well.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    root = Path(__file__).parents[1]
    # In the place of this folder, which Python put first.
    sys.path[:1] = [str(root), str(root / "src")]
    from benchmarks.gpu_run import arguments, run

    sys.exit(run(arguments()))
