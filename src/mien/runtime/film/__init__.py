"""Films and cameras: their frames, the faces followed through them, and drawings of what was read."""
