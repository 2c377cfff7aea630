"""What people write by hand: FastAPI, transformers, Pillow, one image per forward.

`python benchmarks/peers/handwritten.py MODEL_FOLDER` serves `POST /embed` on a free
port of 127.0.0.1: `{"image": "<base64>"}` in, `{"embedding": [floats]}` out.

Everything happens in one `async def` route, decoding and forward included, as in the
examples that people start from. It is spared what would be unfair: the weights are
the same and in float32, inference mode is on, attention is the fastest that
transformers chooses, and there is no access log. Pictures are prepared by the same
rule as dinoserve's (squashed to 224 x 224, bilinear with antialiasing, LVD mean and
std), but Pillow resizes 8-bit pixels, which is quicker than dinoserve's exact float
path and rounds each value to 1/255. It checks nothing that it is sent.
"""

import base64
import io
import sys

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI
from PIL import Image
from pydantic import BaseModel
from transformers import DINOv3ViTModel

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


class EmbedRequest(BaseModel):
    """An encoded image in base64."""

    image: str


def create_app(folder: str) -> FastAPI:
    """Return the app, with the model loaded.

    Args:
        folder: a DINOv3 ViT in Hugging Face layout.
    """
    app = FastAPI()
    model = DINOv3ViTModel.from_pretrained(folder).eval()  # pyright: ignore[reportUnknownMemberType] - transformers leaves it untyped

    @app.post("/embed")
    async def embed(request: EmbedRequest) -> dict[str, list[float]]:
        """Return the class token as a unit vector."""
        pixels = preprocess(base64.b64decode(request.image))
        with torch.inference_mode():
            features = model(pixels).last_hidden_state[:, 0]
            features /= features.norm(dim=1, keepdim=True)
        return {"embedding": features[0].tolist()}

    return app


def preprocess(data: bytes) -> torch.Tensor:
    """Return float32 (1, 3, 224, 224), normalised."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    image = image.resize((224, 224), Image.Resampling.BILINEAR)
    pixels = (np.asarray(image, np.float32) / 255 - MEAN) / STD
    return torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0)  # pyright: ignore[reportUnknownMemberType] - torch leaves the array untyped


if __name__ == "__main__":
    uvicorn.run(create_app(sys.argv[1]), host="127.0.0.1", port=0, access_log=False)
