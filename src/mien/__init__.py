"""mien: train, compare, look inside and use classifiers of small images."""

__version__ = "0.1.0"
