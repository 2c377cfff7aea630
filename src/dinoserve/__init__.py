"""Self-hosted service for DINOv3 visual features."""

__version__ = "0.1.0"
