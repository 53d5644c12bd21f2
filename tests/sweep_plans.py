"""Plans of sweeps over the recipe folder_cnn, for the tests of sweeps."""

from mien.config.sweep_plan import make_plan
from mien.recipes import load

LAYERS = [load("folder_cnn")[0].model_dump()]


def plan(flags, **how):
    return make_plan("folder_cnn", None, LAYERS, flags, **how)
