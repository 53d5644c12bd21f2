"""For all tests."""

import os

from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:  # two processes with two threads each on two cores wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("patient", deadline=None)  # a busy machine takes seconds for what takes a millisecond
settings.load_profile("patient")
