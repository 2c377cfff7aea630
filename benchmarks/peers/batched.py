"""What people use for batching: LitServe, transformers, Pillow, at its best settings.

`python benchmarks/peers/batched.py MODEL_FOLDER [BATCH TIMEOUT_S WORKERS]` serves
`POST /predict` on a free port of 127.0.0.1: `{"image": "<base64>"}` in,
`{"embedding": [floats]}` out.

LitServe collects requests into a batch, in a process of its own for each worker. It
is given the settings that were fastest among those that docs/benchmarks.md lists, the
weights of the other servers, the precision that is faster on this processor, float32
or bfloat16, inference mode and no access log. Pictures are prepared as in
`handwritten.py`. It checks nothing that it is sent.
"""

import base64
import os
import socket
import sys
import time
from collections.abc import Iterable, Mapping, Sequence

import litserve  # pyright: ignore[reportMissingImports] - it lies apart from what dinoserve needs, see the Makefile
import torch
from handwritten import preprocess
from torch.nn import functional
from transformers import DINOv3ViTModel

BATCH = 16
TIMEOUT_S = 0.01
WORKERS = 2
_TRIES = 3


class EmbeddingApi(litserve.LitAPI):  # pyright: ignore[reportUntypedBaseClass, reportUnknownMemberType] - not there to be read
    """What LitServe asks for: decode, batch, predict, split, encode.

    Args:
        folder: a DINOv3 ViT in Hugging Face layout.
        batch: pictures in a forward at most.
        timeout_s: how long a batch waits to be filled.
        workers: processes that share the cores.
    """

    def __init__(self, folder: str, batch: int, timeout_s: float, workers: int) -> None:
        super().__init__(max_batch_size=batch, batch_timeout=timeout_s)  # pyright: ignore[reportUnknownMemberType] - as above
        self._folder = folder
        self._threads = max(1, len(os.sched_getaffinity(0)) // workers)

    def setup(self, _device: str) -> None:
        """Load the model, in the process that computes."""
        torch.set_num_threads(self._threads)
        kinds = [_load(self._folder, kind) for kind in (torch.float32, torch.bfloat16)]
        pixels = torch.zeros(4, 3, 224, 224)
        self._model = min(kinds, key=lambda model: _seconds(model, pixels))

    def decode_request(self, request: Mapping[str, str]) -> torch.Tensor:
        """Return float32 (1, 3, 224, 224)."""
        return preprocess(base64.b64decode(request["image"]))

    def batch(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return float32 (n, 3, 224, 224)."""
        return torch.cat(list(inputs))

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Return the class tokens as unit vectors, float32 (n, dimension)."""
        return functional.normalize(_forward(self._model, x)[:, 0].float(), dim=1)

    def unbatch(self, output: torch.Tensor) -> Iterable[torch.Tensor]:
        """Return the rows."""
        return list(output)

    def encode_response(self, output: torch.Tensor) -> dict[str, list[float]]:
        """Return what is sent as JSON."""
        return {"embedding": output.tolist()}  # pyright: ignore[reportUnknownMemberType] - torch leaves it untyped


def _load(folder: str, kind: torch.dtype) -> DINOv3ViTModel:
    return DINOv3ViTModel.from_pretrained(folder, dtype=kind).eval()  # pyright: ignore[reportUnknownMemberType] - transformers leaves it untyped


def _forward(model: DINOv3ViTModel, pixels: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return model(pixels.to(model.dtype)).last_hidden_state


def _seconds(model: DINOv3ViTModel, pixels: torch.Tensor) -> float:
    """Return the shortest time of a few forwards."""
    times: list[float] = []
    for _ in range(_TRIES):
        begun = time.perf_counter()
        _forward(model, pixels)
        times.append(time.perf_counter() - begun)
    return min(times)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def main(folder: str, batch: int, timeout_s: float, workers: int) -> None:
    """Serve until the process is ended."""
    api = EmbeddingApi(folder, batch, timeout_s, workers)
    server = litserve.LitServer(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - as above
        api, accelerator="cpu", workers_per_device=workers, timeout=False
    )
    port = _free_port()
    print(f"running on http://127.0.0.1:{port}", flush=True)
    server.run(  # pyright: ignore[reportUnknownMemberType] - as above
        host="127.0.0.1",
        port=port,
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    _, _folder, *given = sys.argv
    _batch, _timeout_s, _workers = given or (BATCH, TIMEOUT_S, WORKERS)
    main(_folder, int(_batch), float(_timeout_s), int(_workers))
