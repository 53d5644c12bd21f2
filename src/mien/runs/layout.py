"""The names of the files in a run folder. No other package of mien spells them."""

from __future__ import annotations

from pathlib import Path

RECIPE = "recipe.yaml"  # every setting of the run
MANIFEST = "manifest.json"  # the sha256 of each file
DATA = "data.npz"  # which images: a digest, a split and a name each
ENV = "env.json"  # an `Env`
HISTORY = "metrics.csv"  # a row an epoch
CHECKPOINTS = "checkpoints"  # a folder
BEST = "best.ckpt"  # in CHECKPOINTS: the epoch with the best validation score
LAST = "last.ckpt"  # in CHECKPOINTS: the last finished epoch, from which a run is resumed
MODEL = "model"  # the best epoch's network in mien's own format, a folder
MODEL_FILES = (f"{MODEL}/config.json", f"{MODEL}/model.safetensors")
EXPORT = "model.onnx"  # the network as one file that needs no torch, where it was exported
SCORES = "evaluation.json"  # split -> `Scores`
ROBUSTNESS = "robustness.json"  # split -> list of `ChangeScore`
TEST_READS = "test_reads.json"  # the dates of every reading of the test split
RECONSTRUCTIONS = "reconstructions.npz"  # what a run without labels has in place of scores, written last
TEACHERS_ANSWERS = "answers.npz"  # to the training images, where they are stored
MISTAKE_MAPS = "mistakes.npz"  # which pixels speak for the surest wrong answers
REPORT = "report.html"
EXPLANATIONS = "explain"  # a folder of pages
TENSORBOARD = "tensorboard"  # a folder; of what loggers write nothing is in the manifest
MLFLOW = "mlflow"  # a folder; Weights & Biases calls its own wandb

SWEEP_PAGE = "sweep.html"  # in the folder of a sweep, whose runs lie below it
OUT_OF_FOLD = "out-of-fold.csv"  # there too, of a cross-validation: `Predictions` of every image


def predictions(run: Path, split: str, suffix: str = ".npz") -> Path:
    """predictions.npz for validation, predictions-<split>.npz for another split; suffix '.csv' is the table."""
    return run / f"predictions{'' if split == 'validation' else f'-{split}'}{suffix}"


def checkpoint_before(path: Path) -> Path:
    """Where the checkpoint that was there before is kept, until the next one is written."""
    return path.with_name(f"{path.stem}.before{path.suffix}")


def last_checkpoint(run: Path) -> Path:
    """The checkpoint from which a run is resumed; there is none before the first epoch has ended."""
    return run / CHECKPOINTS / LAST
