"""Addresses of object stores, s3://BUCKET/FOLDER say, as messages and tables have them: without keys."""

from __future__ import annotations

import re

CONTAINER = r"//(?P<container>[^/@:]*):[^@]*@"  # Azure's: what stands before the @ may be the container, which stays
SECRET = r"//[^/@:]+:.*@"  # S3's may hold a slash
USER = r"//[^/@]*@"


def shown(address: str) -> str:
    """An address without keys and options: s3://bucket/a of s3://KEY:SECRET@bucket/a?region=eu-central-1."""
    scheme, mark, _ = address.partition("://")
    if not mark:
        return address
    bare = address.partition("?")[0]
    if scheme in ("abfs", "abfss"):
        return re.sub(CONTAINER, r"//\g<container>@", bare, count=1)
    return re.sub(f"{SECRET}|{USER}" if scheme == "s3" else USER, "//", bare, count=1)
