"""Where a run's curves go besides its history: TensorBoard, MLflow or Weights & Biases, all of it in the run folder.

Nothing is sent anywhere unless the variables of these tools say so: MLFLOW_TRACKING_URI, WANDB_MODE=online.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from mien.config import Recipe
from mien.config.sweep_plan import flat
from mien.data import Store
from mien.errors import require
from mien.runs import RunFolder, layout
from mien.runs.folder import read_env
from mien.runs.processes import is_first_process

MLFLOW_SERVER = os.environ.get("MLFLOW_TRACKING_URI")  # read here, as mlflow sets it to what it was told last
TAG = "mien_run"


def check(recipe: Recipe) -> None:
    """Raise MissingError where the logger's package is not installed."""
    if recipe.train.logger != "none":
        require(f"`train.logger` {recipe.train.logger}", recipe.train.logger)


@contextmanager
def opened(recipe: Recipe, folder: Path) -> Iterator[Logger | None]:
    """Within it the logger that a recipe asks for is open. A run that is resumed goes on where it was."""
    check(recipe)
    if recipe.train.logger == "none":
        yield None
        return
    identity = hashlib.sha256(f"{folder.name} {read_env(folder).started}".encode()).hexdigest()[:16]
    make = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}[recipe.train.logger]
    logger, status = make(recipe, folder.resolve(), identity), "failed"
    logger.log_hyperparams(flat(recipe.model_dump(mode="json")))
    try:
        yield logger
        status = "success"
    finally:
        logger.finalize(status)
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()  # else the next run of this process would be part of it


def log_results(logger: Logger, folder: Path, store: Store) -> None:
    """Log what a run came to: its scores, the confusion matrix and the mistakes it is surest of."""
    from mien.evaluate.drawings import confusion_picture, mistakes_picture  # matplotlib takes its time

    run = RunFolder.open(folder)
    if run.has_predictions():
        scores, predictions = run.scores["validation"], run.predictions()
        names = ("accuracy", "macro_f1", "calibration_error", "negative_log_likelihood")
        logger.log_metrics({name: getattr(scores, name) for name in names})
        _log_picture(logger, "confusion_matrix", confusion_picture(predictions))
        if (mistakes := mistakes_picture(predictions, store)) is not None:
            _log_picture(logger, "surest_mistakes", mistakes)


def _tensorboard(recipe: Recipe, folder: Path, identity: str) -> Logger:
    return TensorBoardLogger(folder, name="", version=layout.TENSORBOARD)


def _mlflow(recipe: Recipe, folder: Path, identity: str) -> Logger:
    here = folder / layout.MLFLOW
    if is_first_process():
        here.mkdir(exist_ok=True)
    server = MLFLOW_SERVER or f"sqlite:///{here / 'mlflow.db'}"
    return MLFlowLogger(
        experiment_name=recipe.name,
        run_name=folder.name,
        tracking_uri=server,
        tags={TAG: identity},
        artifact_location=None if MLFLOW_SERVER else (here / "artifacts").as_uri(),
        run_id=_known_to_mlflow(server, recipe.name, identity) if is_first_process() else None,
    )


def _known_to_mlflow(server: str, experiment: str, identity: str) -> str | None:
    """MLflow's name for a run that was begun before."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(server)
    known = client.get_experiment_by_name(experiment)
    runs = client.search_runs([known.experiment_id], f"tags.{TAG} = '{identity}'") if known else []
    return runs[0].info.run_id if runs else None


def _wandb(recipe: Recipe, folder: Path, identity: str) -> Logger:
    from wandb import Settings

    return WandbLogger(
        project=os.environ.get("WANDB_PROJECT", "mien"),
        name=folder.name,
        group=recipe.name,
        id=identity,
        save_dir=folder,  # it makes a folder wandb there
        offline=os.environ.get("WANDB_MODE", "offline") == "offline",
        settings=Settings(console="off", silent=True),
    )


def _log_picture(logger: Logger, name: str, picture: np.ndarray) -> None:
    """picture: uint8 (H, W, 3)."""
    there: Any = logger
    if isinstance(logger, TensorBoardLogger):
        there.experiment.add_image(name, picture, dataformats="HWC")
    elif isinstance(logger, MLFlowLogger):
        there.experiment.log_image(there.run_id, picture, artifact_file=f"{name}.png")
    else:
        there.log_image(name, [picture])
