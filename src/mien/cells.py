"""Words of strangers, such as names of files and of classes, in the cells of a CSV file.

A spreadsheet runs a cell that begins with = + - @ as a formula, quotes or none. So such words are written with an
apostrophe before them, as OWASP's page on CSV injection advises; those that begin with one already get another, and
reading takes one away: every word comes back as it was.
"""

from __future__ import annotations

RUN = tuple("=+-@\t\r\n＝＋－＠")  # how a formula begins; the wide ones in East Asian settings


def cell(words: str) -> str:
    """Return what to write for these words."""
    return f"'{words}" if words.lstrip("'").startswith(RUN) else words


def words_of(written: str) -> str:
    """Return the words for which `cell` gave this."""
    return written[1:] if written.startswith("'") and written.lstrip("'").startswith(RUN) else written
