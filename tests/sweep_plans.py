"""Plans of sweeps over the recipe folder_cnn, and the command of a tiny one, for the tests of sweeps."""

from mien.config.sweep_plan import make_plan
from mien.recipes import load

LAYERS = [load("folder_cnn")[0].model_dump()]

TINY = [
    "sweep",
    "fer2013_cnn_v2",
    "--data.source",
    "drawn_faces",
    "--data.images",
    "70",
    "--data.size",
    "16",
    "--model.widths",
    "[4,8]",
    "--train.batch_size",
    "14",
    "--train.precision",
    "fp32",
    "--train.optimizer",
    "sgd",
]


def plan(flags, **how):
    return make_plan("folder_cnn", None, LAYERS, flags, **how)
