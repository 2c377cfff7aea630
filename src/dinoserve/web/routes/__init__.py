"""One file per capability, with its request and response models."""
