"""What the tests of training share."""

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from taught import recipe

from mien.train import callbacks, run


@pytest.fixture
def shared_cache(tmp_path_factory, monkeypatch) -> None:
    """One cache for all tests, and no launcher's variable, so that a run takes itself for the first process."""
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("LOCAL_RANK", raising=False)


@pytest.fixture(scope="session")
def teacher_run(tmp_path_factory) -> Path:
    """A finished run that others learn from. Tests leave it as it is."""
    return run.run(recipe(name="teacher"), tmp_path_factory.mktemp("teacher") / "run")


@pytest.fixture
def interrupted(monkeypatch) -> Callable[[], AbstractContextManager[None]]:
    """`with interrupted():` a run in it is stopped as by Ctrl-C, in the third step of its second epoch."""

    def stop(self, trainer, task, batch, index):
        if (trainer.current_epoch, index) == (1, 2):
            raise KeyboardInterrupt

    @contextmanager
    def interrupting():
        with monkeypatch.context() as patch:
            patch.setattr(callbacks.Display, "on_train_batch_start", stop, raising=False)
            with pytest.raises(KeyboardInterrupt):
                yield

    return interrupting
