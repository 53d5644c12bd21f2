"""How Ray is reached, and what is said where it is not."""

import pytest

from mien import cluster
from mien.errors import MienError, MissingError, UsageError


def test_what_on_may_say():
    assert cluster.address_of("ray") is None
    assert cluster.address_of("ray:10.0.0.1:6379") == "10.0.0.1:6379"
    for on in ("dask", "ray:", ""):
        with pytest.raises(UsageError, match="there are ray, which starts it on this machine"):
            cluster.address_of(on)


@pytest.mark.parametrize(
    ("address", "error", "expected", "text"),
    [
        ("10.0.0.1:6379", ConnectionError("refused"), MissingError, r"no cluster of Ray answers there \(refused\)\."),
        ("nonsense", ValueError("Invalid"), UsageError, r"`on` ray:nonsense: Ray takes no such address \(Invalid\)\."),
        (None, Exception("The node timed out.\nmore"), MienError, r"Ray could not be started \(The node timed out\)\."),
    ],
)
def test_ray_that_cannot_be_reached_is_said_in_a_sentence(monkeypatch, address, error, expected, text):
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'mien[scale]', see .ci/run")

    def init(*_, **__):
        raise error

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with pytest.raises(expected, match=text), cluster.connected(address):
        pass
