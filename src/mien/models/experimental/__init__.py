"""Options of the Vision Transformer that stand in no recipe: measured (see the log), and no gain shown yet."""
