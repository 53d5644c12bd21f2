from mien.errors import DataError, MienError, MissingError, UsageError, nearest


def test_exit_codes():
    assert [error.exit_code for error in (MienError, UsageError, MissingError, DataError)] == [1, 2, 3, 4]


def test_nearest():
    assert nearest("vitt", ["lenet", "vit"]) == " Did you mean 'vit'?"
    assert nearest("zzzz", ["lenet", "vit"]) == ""
