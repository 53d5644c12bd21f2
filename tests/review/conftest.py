import pytest
from mislabelled import draw_folder


@pytest.fixture(scope="session")
def colours(tmp_path_factory):
    """A folder of reddish and bluish pictures, some of them in the folder of the other class."""
    return draw_folder(tmp_path_factory.mktemp("colours") / "pictures")


@pytest.fixture(scope="session")
def kept(tmp_path_factory):
    """A cache that keeps stores and features for all tests."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch, kept):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(kept))
