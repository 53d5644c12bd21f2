import errno
import os

from mien.errors import DataError, MienError, MissingError, UsageError, nearest, unwritable


def test_exit_codes():
    assert [error.exit_code for error in (MienError, UsageError, MissingError, DataError)] == [1, 2, 3, 4]


def test_nearest():
    assert nearest("vitt", ["lenet", "vit"]) == " Did you mean 'vit'?"
    assert nearest("vitt", ["lenet", "vit"], "mien:") == " Did you mean 'mien:vit'?"
    assert nearest("zzzz", ["lenet", "vit"]) == ""


def test_what_cannot_be_written_says_what_would_help(tmp_path):
    def said(path, number):
        return str(unwritable(path, OSError(number, os.strerror(number)), "choose another `out`"))

    table = tmp_path / "table.csv"
    table.touch()
    assert said(table, errno.ENOSPC).endswith("No space left on device. Free some space, or choose another `out`.")
    assert said(table, errno.EACCES) == f"Writing {table} failed: Permission denied. Choose another `out`."
    assert said(table / "new" / "a.png", errno.ENOTDIR).endswith(
        f"Not a directory. {table} is no folder. Choose another `out`."
    )
