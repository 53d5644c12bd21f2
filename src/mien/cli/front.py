"""What `mien --help` prints: every verb in a line. It imports no library, so that it costs little more than Python."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator

ABOUT = (
    "Train, compare, look inside and use classifiers of small images.\n\nStart with: mien quickstart\n\n"
    "Files are data: code that a run, a settings file or a model names, MODULE:NAME, is imported only if you used it "
    "on this machine before, or with --allow-code MODULE:NAME, which every command takes."
)
EPILOGUE = "Every command also takes --allow-code MODULE:NAME: code that files name and that may be imported."

# Each verb is the function of its name in the module of its name, and what its docstring begins with.
VERBS = {
    "adopt": "Make a run of somebody's trained classifier, to be scored, compared, explained and shipped; nothing is "
    "trained.",
    "average": "Average the weights of runs that began from the same run, or of a run and of what fine-tuning made of "
    "it.",
    "card": "Print the model card of an exported network: data, scores by class, calibration, what it must not be used "
    "for.",
    "compare": "Compare runs on the same images: curves, accuracy with intervals, recalls, McNemar's test, one page.",
    "data": "Look at a data set before training on it.",
    "embed": "Write what a network makes of each picture before its head reads it: features, in a table and on a map.",
    "evaluate": "Score a run on a split of its data, or an exported .onnx file on any data.",
    "explain": "Show how a picture becomes a prediction, where the reasons lie, and how far that can be believed.",
    "export": "Write a finished run as one .onnx file with labels, preprocessing and calibration, for use without "
    "torch.",
    "lr": "Find a learning rate: make a few steps at rates that rise, and say where the loss falls fastest.",
    "models": "List the networks that come with mien: those for --model, and backbones for --model.init.",
    "predict": "Find faces in a photo, a folder of photos, a video or a camera's picture and read their expressions.",
    "push": "Put a finished run on the Hugging Face hub, as one commit: card, weights, settings and the sealed .onnx "
    "file.",
    "quickstart": "Train a small CNN and a small ViT on drawn faces, and compare them: one to two minutes, nothing to "
    "download.",
    "recipes": "List the recipes, or show one in full.",
    "report": "Write a run's report anew.",
    "run": "Data -> training -> evaluation -> report, as a recipe says.",
    "serve": "Open a page on this computer that reads expressions from photos and the camera, with an API behind it.",
    "submission": "Predict the unlabelled pictures of Kaggle's Dogs vs. Cats, and write what the competition takes.",
    "sweep": "Train a recipe under many settings and put the runs on one page.",
    "verify": "Read all of runs, stores of images or files, and say what is damaged or was changed.",
}
FLAGS = {"--help (-h)": "Display this message and exit.", "--version": "Display application version."}
BOX = "╭─╮│╰╯"


def is_asked_for(words: list[str]) -> bool:
    """Whether a command line asks for the front page, and not for that of a verb."""
    return words[:1] in ([], ["--help"], ["-h"]) and not VERBS.keys() & set(words)


def page() -> Iterator[str]:
    """The lines of the front page, as wide as the terminal."""
    width = _width()
    yield from ("Usage: mien COMMAND", "")
    for paragraph in ABOUT.split("\n\n"):
        yield from (*_wrapped(paragraph, width), "")
    yield from _boxed("Commands", VERBS | FLAGS, width)
    yield from ("", *_wrapped(EPILOGUE, width))


def _boxed(title: str, entries: dict[str, str], width: int) -> Iterator[str]:
    """Names and what they mean in two columns, in a box as the verbs' own pages have."""
    corner, line, right_corner, side, left_foot, right_foot = tuple(BOX if _can_show(BOX) else "+-+|++")
    names = max(map(len, entries)) + 2
    yield f"{corner}{line} {title} {line * (width - len(title) - 5)}{right_corner}"
    for name, meaning in entries.items():
        for number, part in enumerate(_wrapped(meaning, max(width - names - 4, 20))):
            yield f"{side} {(name if not number else '').ljust(names)}{part}".ljust(width - 1) + side
    yield left_foot + line * (width - 2) + right_foot


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False)  # which flags have too


def _can_show(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _width() -> int:
    """Characters in a line of the terminal; 80 where there is none."""
    told = os.environ.get("COLUMNS", "")
    try:
        return max(int(told) if told.isdecimal() else os.get_terminal_size(sys.stdout.fileno()).columns, 40)
    except (OSError, ValueError, AttributeError):
        return 80
