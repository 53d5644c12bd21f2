import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import DataError
from mien.labels import ALIASES, FER2013, canonical, has_expressions, match


def test_the_order_is_that_of_the_csv():
    assert FER2013 == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def test_other_words_mean_the_same():
    assert [canonical(name) for name in (" Happiness", "ANGER ", "surprised", "Neutral", "cat")] == [
        "happy", "angry", "surprise", "neutral", "cat"]  # fmt: skip
    assert set(ALIASES.values()) <= set(FER2013)


def test_folders_in_alphabetical_order_are_matched_by_name():
    assert match(sorted(FER2013), FER2013) == [0, 1, 2, 3, 6, 4, 5]


@given(st.permutations(FER2013))
def test_any_order_is_matched_by_name(names):
    assert [FER2013[position] for position in match(names, FER2013)] == list(names)


def test_what_reads_faces_is_told_by_its_classes():
    assert has_expressions(["bored", "Happiness "])
    assert has_expressions(["contempt"])
    assert not has_expressions(["cat", "dog"])
    assert not has_expressions([])


def test_some_of_the_names_will_do():
    assert match(["Joy", "sadness"], FER2013) == [3, 4]
    assert match(["dog"], ("Cat", "Dog")) == [1]


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(DataError, match=r"Class 'hapy' is not among .*sad.* Did you mean 'happy'\? Rename it"):
        match(["angry", "hapy"], FER2013)


def test_two_names_for_one_class():
    with pytest.raises(DataError, match=r"Classes 'joy' and 'happy' mean the same\. Make them one"):
        match(["joy", "sad", "happy"], FER2013)
    with pytest.raises(DataError, match="Classes 'sad' and 'sad' mean the same"):
        match(["sad", "sad"], FER2013)


def test_a_model_always_matches_its_own_classes():
    """Even two that would count as one word when they come from elsewhere."""
    assert match(["A", "a", "happy", "joy"], ["a", "joy", "A", "happy"]) == [2, 0, 3, 1]
