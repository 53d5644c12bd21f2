"""Addresses in messages and tables hold no keys."""

import pytest

from mien.addresses import shown


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("pictures/a@b", "pictures/a@b"),
        ("s3://bucket/a?region=eu-central-1", "s3://bucket/a"),
        ("s3://KEY:SECRET@bucket/a?region=x", "s3://bucket/a"),
        ("s3://KEY:SEC/R/ET@bucket/a", "s3://bucket/a"),
        ("s3://bucket/me@home/a.jpg", "s3://bucket/me@home/a.jpg"),
        ("hdfs://user@host:8020/me@home", "hdfs://host:8020/me@home"),
        ("hdfs://host:8020/me@home/x", "hdfs://host:8020/me@home/x"),
        ("abfss://box@name.dfs.core.windows.net/f", "abfss://box@name.dfs.core.windows.net/f"),
        ("abfss://box:KEY@name.dfs.core.windows.net/f", "abfss://box@name.dfs.core.windows.net/f"),
    ],
)
def test_what_is_shown_of_an_address(address, said):
    assert shown(address) == said
