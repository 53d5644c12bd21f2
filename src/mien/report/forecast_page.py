"""A Forecast -> the values of templates/forecast.html.j2, and its curve as a picture."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mien.evaluate.forecast import Checked, Forecast, Measured, told
from mien.report.figures import HEIGHT, WIDTH, Percents
from mien.report.style import CARD, INK, QUIET, Reading, drawing, inline_svg, series
from mien.words import percent


def context(measured: Measured, found: Forecast, checked: Checked | None) -> dict[str, Any]:
    """Everything the page of a forecast shows."""
    return {
        "found": found,
        "how": told(measured.how),
        "on_features": "features" in measured.how,
        "source": measured.source,
        "trainings": len(measured.trainings),
        "seconds": sum(each.seconds for each in measured.trainings),
        "checked": checked,
        "figure": learning_curve(found, checked),
    }


def learning_curve(found: Forecast, checked: Checked | None = None) -> Markup:
    """Accuracy by training images, on a logarithmic axis: the measured points, the curve and its 90 % band."""
    with drawing():
        figure = Figure(figsize=(WIDTH, HEIGHT))
        axes = figure.subplots()
        images = [each.images for each in found.curve]
        middle = [each.accuracy for each in found.curve]
        colour = series(0)["color"]
        low, high = zip(*(each.band for each in found.curve), strict=True)
        axes.fill_between(images, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(images, middle, **series(0))
        axes.plot(*zip(*found.points, strict=True), "o", color=colour, markersize=5.5, markeredgecolor=CARD)
        for number, words in ((found.train, "today"), (2 * found.train, "twice as many")):
            axes.axvline(number, color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
            axes.annotate(
                words, (number, 0.02), xycoords=("data", "axes fraction"), xytext=(3, 0), textcoords="offset points",
                fontsize=8.5, color=QUIET,
            )  # fmt: skip
        if checked:
            axes.plot([checked.images], [checked.accuracy], "D", color=INK, markersize=6, markeredgecolor=CARD)
        axes.set(xlabel="training images", ylabel="accuracy", xscale="log")
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 3)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(Percents())
        at = [f"{number:,} images" for number in images]
        shown = [
            f"{percent(each.accuracy)} ({percent(each.band[0])} to {percent(each.band[1])})" for each in found.curve
        ]
        return inline_svg(
            figure, "learning-curve", "Accuracy by the number of training images, with a 90 % band",
            [Reading("forecast", 0, images, middle, at, shown)],
        )  # fmt: skip
