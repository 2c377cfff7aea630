"""How the bundled model is made: a small DINOv3 ViT that learns from another network.

`python -m training --help` lists the steps; `MODEL_CARD.md` tells what came of it.
"""
