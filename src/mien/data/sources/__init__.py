"""The readers of images: one file a source, named as `data.source` names it; each has read(path) -> Listing."""
