"""A Python that has imported what the server imports, and does nothing.

`python -m benchmarks.idle`; its resident memory is what the interpreter and the
libraries take before there is a model.
"""

import sys
from importlib import import_module

from benchmarks.protocol import READY

if __name__ == "__main__":
    # As the engine does: telemetry would report every import of OpenVINO.
    sys.modules["openvino_telemetry"] = None  # pyright: ignore[reportArgumentType] - None forbids the import, as documented
    for _name in ("dinoserve.cli", "dinoserve.wiring", "uvicorn", "openvino"):
        import_module(_name)
    # Classes of transformers are imported when they are first asked for.
    _ = import_module("transformers").DINOv3ViTModel
    print(READY, flush=True)
    sys.stdin.read()
