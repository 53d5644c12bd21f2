"""What the tests of training share."""

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager

import pytest

from mien.train import callbacks


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
