"""How fast a picture becomes pixels, and what scaled decoding would change.

`python -m benchmarks.decode`: readers of JPEG side by side, on one thread and on two;
resizing beside the calls of PyTorch that transformers makes; and scaled decoding
(libjpeg decodes to a half, a quarter or an eighth) against full decoding. Readers that
are not installed are left out: `pip install opencv-python-headless`, and `pyvips` with
`pyvips-binary`, bring them. Rounds alternate between the rows, and the lower quartile
counts, so that other work on the machine weighs on all alike. Milliseconds are those of
all cores together; two at once are timed by the clock, and tell something only on a
machine that does nothing else.
"""

import io
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from benchmarks.machine import this_machine
from benchmarks.model import write_model
from benchmarks.pictures import write_pictures
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from dinoserve.domain.framing import Framing, lay_out
from dinoserve.engine.images import ImageLimits, decode
from dinoserve.engine.preprocess import LVD_MEAN, LVD_STD, Preprocessing, to_pixels
from dinoserve.engine.torch_forward import TorchForward
from dinoserve.engine.weights import load_model

Work: TypeAlias = Callable[[], object]

_LIMITS = ImageLimits(max_bytes=2**25, max_pixels=64_000_000, max_side_px=16_384)
_HOW = Preprocessing("hf", Framing("224x224", "squash"), LVD_MEAN, LVD_STD)
_SIDE_PX = 224
_ROUNDS = {"500x375": 40, "4000x3000": 4}
_PHOTOS = Path(__file__).parents[1] / "tests" / "pictures"


def jpeg(width: int, height: int) -> bytes:
    """Return a picture of this size, made of shapes and grain, at quality 90."""
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder) / "pictures")
        first = min((Path(folder) / "pictures").iterdir())
        picture = Image.open(first).resize((width, height))
    noise = np.random.default_rng(0).normal(0, 5, (height, width, 3))
    grain = noise + np.asarray(picture)
    return encoded(Image.fromarray(grain.clip(0, 255).astype(np.uint8)))


def encoded(picture: Image.Image) -> bytes:
    """Return a JPEG of quality 90."""
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=90)
    return target.getvalue()


def readers() -> Iterator[tuple[str, Callable[[bytes], object]]]:
    """Give every reader that is installed: its name, and bytes to RGB."""
    yield "dinoserve (all checks)", lambda data: decode(data, _LIMITS).rgb
    yield "Pillow", lambda data: np.asarray(_pillow(data))
    if simplejpeg := _optional("simplejpeg"):
        yield "simplejpeg", simplejpeg.decode_jpeg
    if cv2 := _optional("cv2"):
        cv2.setNumThreads(1)
        yield "OpenCV", lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), 1)
    if pyvips := _optional("pyvips"):
        pyvips.cache_set_max(0)
        yield "libvips", lambda data: pyvips.Image.new_from_buffer(data, "").numpy()


def resizers() -> Mapping[str, Callable[[NDArray[np.uint8]], object]]:
    """Return ways from RGB to the normalised input."""
    return {
        "resize: dinoserve": prepared,
        "resize: PyTorch, as transformers": as_transformers,
    }


def prepared(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return float32 (3, 224, 224) as this service makes it."""
    height, width, _ = rgb.shape
    return to_pixels(rgb, lay_out(_HOW.framing, width, height, 16), _HOW)


def as_transformers(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the same by the calls that `DINOv3ViTImageProcessor` makes."""
    image = torch.tensor(rgb).permute(2, 0, 1).contiguous() * (1 / 255)
    image = functional.interpolate(
        image[None], (_SIDE_PX, _SIDE_PX), mode="bilinear", antialias=True
    )
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (LVD_MEAN, LVD_STD))
    return image[0].sub(mean).div(std).numpy()


def _optional(name: str) -> Any:
    try:
        return import_module(name)
    except (ImportError, OSError):
        print(f"{name} is not installed and left out", file=sys.stderr)
        return None


def _pillow(data: bytes, scale: int = 1) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.draft("RGB", (picture.width // scale, picture.height // scale))
    return picture.convert("RGB")


def times_ms(
    rows: Mapping[str, Work], rounds: int, clock: Callable[[], float]
) -> Mapping[str, float]:
    """Return the lower quartile of each row's milliseconds, rounds in turn."""
    spent: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(rounds):
        for name, work in rows.items():
            start = clock()
            work()
            spent[name].append((clock() - start) * 1000)
    return {name: float(np.percentile(ms, 25)) for name, ms in spent.items()}


def twice(pool: ThreadPoolExecutor, work: Work) -> None:
    """Do the work twice at once."""
    for future in [pool.submit(work) for _ in range(2)]:
        future.result()


def print_speed(name: str, data: bytes) -> None:
    """Print milliseconds of each reader and resizer, and how two go together."""
    rgb = decode(data, _LIMITS).rgb
    rows: dict[str, Work] = {who: partial(read, data) for who, read in readers()}
    rows.update((who, partial(resize, rgb)) for who, resize in resizers().items())
    rounds = _ROUNDS[name]
    with ThreadPoolExecutor(
        2, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        alone = times_ms(rows, rounds, time.process_time)
        single = times_ms(rows, rounds, time.perf_counter)
        pairs = {who: partial(twice, pool, work) for who, work in rows.items()}
        paired = times_ms(pairs, rounds, time.perf_counter)
    print(f"\n{name}, {len(data) // 1000} kB        ms    two at once / one")
    for who, ms in alone.items():
        print(f"  {who:32} {ms:8.2f}  {paired[who] / single[who]:8.2f}")


def print_scaled(forward: TorchForward, pictures: Mapping[str, bytes]) -> None:
    """Print how far scaled decoding leads from full decoding, by the margin left."""
    print("\nscaled   decoded/input   pixels: max    mean    cosine of the class token")
    for name, data in pictures.items():
        full = prepared(np.asarray(_pillow(data)))
        for scale in (2, 4, 8):
            picture = _pillow(data, scale)
            margin = min(picture.size) / _SIDE_PX
            if margin >= 1:
                near = prepared(np.asarray(picture))
                error = np.abs(near - full)
                cosine = float(np.prod(forward(np.stack([near, full])), axis=0).sum())
                print(
                    f"  1/{scale}   {margin:8.2f}      {error.max():8.3f}"
                    f" {error.mean():8.4f}   {cosine:.6f}   {name}"
                )


def random_vit_s() -> TorchForward:
    """Return a ViT-S/16 with random weights, in float32."""
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder) / "vits16", 12)
        return TorchForward(load_model(str(Path(folder) / "vits16")), _HOW, "cpu")


def photographs() -> Mapping[str, bytes]:
    """Return the photographs of the tests as they are, and enlarged."""
    found: dict[str, bytes] = {}
    for path in sorted(_PHOTOS.glob("*.jpg")):
        found[path.stem] = path.read_bytes()
        picture = Image.open(path).convert("RGB")
        large = picture.resize((picture.width * 4, picture.height * 4))
        found[f"{path.stem}, four times as large"] = encoded(large)
    for side in (896, 1800, 4000):
        found[f"drawn, {side} px"] = jpeg(side, side * 3 // 4)
    return found


def main() -> None:
    """Print everything."""
    torch.set_num_threads(1)
    print(this_machine())
    for name in _ROUNDS:
        width, height = map(int, name.split("x"))
        print_speed(name, jpeg(width, height))
    print_scaled(random_vit_s(), photographs())


if __name__ == "__main__":
    main()
