"""For all tests."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)  # a busy machine takes seconds for what takes a millisecond
settings.load_profile("patient")
