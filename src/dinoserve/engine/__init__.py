"""From encoded bytes to vectors: the only home of pictures and tensors."""
