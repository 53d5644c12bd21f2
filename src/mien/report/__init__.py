"""Reports a person enjoys reading: one HTML file for a run, a comparison or a sweep, nothing loaded from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mien.errors import MissingError

if TYPE_CHECKING:
    from mien.evaluate.compare import Comparison
    from mien.evaluate.embedding import Embedding, Projection
    from mien.evaluate.forecast import Checked, Forecast, Measured
    from mien.evaluate.sweep_table import SweepTable


def write_report(run: Path, *, explain: bool = False, by: str | None = None, table: Path | None = None) -> Path:
    """Write the report into the run and return its path.

    explain: first compute which pixels speak for the most confident wrong answers; later reports show these maps too.
    by: a column of the data's table, or of `table`, whose subgroups are shown; None shows those that the run was last
    scored by, if any.

    What the run lacks (scores of a run stopped early, pictures of data that was moved) is left out, with the
    reason in its place. Raises MissingError when `run` is no run folder, or when its images are not to be had and a
    page is there already, which is kept.
    """
    from mien.report import html, mistake_maps, run_page
    from mien.runs import layout

    if explain:
        mistake_maps.explain_mistakes(run)
    path, values = run / layout.REPORT, run_page.context(run, by, table)
    if values["no_store"] and path.is_file():
        raise MissingError(f"{values['no_store']} {path} is kept as it was.")
    return html.write("run.html.j2", path, values)


def write_comparison(comparison: Comparison, out: Path) -> Path:
    """Write the page of a comparison to `out` and return it."""
    from mien.report import comparison_page, html

    return html.write("comparison.html.j2", out, comparison_page.context(comparison, out.parent))


def write_map(embedding: Embedding, out: Path, projection: Projection = "pca") -> Path:
    """Write the page of a map of pictures to `out` and return it."""
    from mien.report import html, map_page

    return html.write("map.html.j2", out, map_page.context(embedding, projection))


def write_sweep(table: SweepTable) -> Path:
    """Write sweep.html and sweep.csv in a sweep's folder, out-of-fold.csv for a cross-validation; returns the page."""
    from mien.report import html, sweep_page
    from mien.runs import layout

    table.write_csv(table.folder / "sweep.csv")
    if table.pooled:
        table.pooled.predictions.save(table.folder / layout.OUT_OF_FOLD)
    return html.write("sweep.html.j2", table.folder / layout.SWEEP_PAGE, sweep_page.context(table))


def write_forecast(measured: Measured, found: Forecast, folder: Path, checked: Checked | None = None) -> Path:
    """Write forecast.html and its curve, forecast.svg, into a folder; returns the page."""
    from mien.report import forecast_page, html, style

    values = forecast_page.context(measured, found, checked)
    page = html.write("forecast.html.j2", folder / "forecast.html", values)
    style.save_svg(values["figure"], folder / "forecast.svg")
    return page
