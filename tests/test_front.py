"""The front page of the command line, which no library draws, says what the verbs themselves say."""

import io
import sys
import unicodedata

import pytest
from docstring_parser import parse

import mien
from mien.cli import front, main
from mien.cli.app import app


def test_the_front_page_names_every_verb_in_the_words_of_its_docstring():
    for verb, meaning in front.VERBS.items():
        help_ = app[verb].help
        assert meaning == " ".join(parse(help_).short_description.split()), verb


@pytest.mark.parametrize("columns", [80, 61, 200])
def test_the_front_page_holds_everything_and_fits_the_terminal(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) == columns
    text = " ".join(" ".join(lines).replace("│", " ").split())
    for words in (*front.VERBS, *front.VERBS.values(), *front.FLAGS, *front.ABOUT.split("\n\n"), front.EPILOGUE):
        assert words in text


def test_what_asks_for_the_front_page(capsys):
    pages = []
    for words in ([], ["--help"], ["-h"], ["--help", "--unknown"]):
        assert main(words) == 0
        pages.append(capsys.readouterr().out)
    assert len(set(pages)) == 1
    assert main(["--help", "predict"]) == 0
    assert capsys.readouterr().out.startswith("Usage: mien predict")
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{mien.__version__}\n"


def test_an_encoding_without_boxes_gets_plain_ones(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    page = "\n".join(front.page())
    assert page.isascii()
    assert not [sign for sign in page if unicodedata.category(sign) == "Cc" and sign != "\n"]
