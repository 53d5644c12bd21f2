"""`mien compare`: runs on the same images, side by side on one page."""

from __future__ import annotations

from pathlib import Path

from mien.cli.app import By, DataPath, Json, Table, refuse_lone_table
from mien.cli.output import print_json, print_lines, quoted
from mien.errors import UsageError
from mien.progress import note


def compare(
    *runs: Path,
    out: Path = Path("comparison.html"),
    by: By = None,
    table: Table = None,
    data_path: DataPath = None,
    json_: Json = False,
) -> None:
    """Compare runs on the same images: curves, accuracy with intervals, recalls, McNemar's test, one page.

    Parameters
    ----------
    runs
        Two or more run folders.
    out
        The page to write.
    """
    if out.suffix not in (".html", ".htm"):
        raise UsageError(f"--out {out}: compare writes a page. Give it a name that ends in .html.")

    from mien.evaluate.compare import compare as compare_runs
    from mien.evaluate.metrics import ceiling, headline
    from mien.evaluate.subgroups import describe_compared
    from mien.report import write_comparison
    from mien.runs.data import lying_at

    refuse_lone_table(by, table)
    with lying_at(data_path):
        comparison = compare_runs(list(runs), by=by, table=table)
        page = write_comparison(comparison, out)
    if json_:
        print_json(comparison.to_dict() | {"page": str(page)})
        return
    for row in comparison.rows:
        print_lines(f"{row.folder}  {headline(row.scores)}")
    if comparison.left_out:
        print_lines(comparison.left_out.describe(comparison.images))
    if found := comparison.rows[0].scores.label_disagreement:
        print_lines(ceiling(found))
    for pair in comparison.pairs:
        print_lines(pair.verdict)
    for line in describe_compared(comparison.subgroups) if comparison.subgroups else []:
        print_lines(line)
    print_lines(str(page))
    note(f"Open {page} in a browser. Why it answers as it does: mien explain {quoted(runs[0])} PICTURE")
