"""`mien data review`: labels that are probably wrong, and how many there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from mien import config
from mien.cli.app import Json, Open, Path_
from mien.cli.data_settings import DataSettable, DataSettings, settings_of
from mien.cli.output import print_json, print_lines, quoted
from mien.errors import UsageError, require
from mien.progress import note

if TYPE_CHECKING:
    from mien.runs import Predictions


def review(
    path: Path_,
    *,
    model: str | None = None,
    suspects: Annotated[int, Parameter(validator=Number(gte=0))] = 200,
    controls: Annotated[int, Parameter(validator=Number(gte=0))] = 50,
    table: Path | None = None,
    out: Path | None = None,
    page: bool = True,
    port: int = 0,
    open_: Open = False,
    json_: Json = False,
    settings: DataSettable = None,
) -> None:
    """Look through labels that are probably wrong, on a page that writes a corrected table.

    A label is a suspect where networks that did not learn it, and the nearest pictures, speak for another class. Random
    pictures are mixed in unmarked: from both comes how many labels are wrong. No picture is touched; started again, the
    review goes on where it stopped.

    Parameters
    ----------
    path
        A folder of images, a CSV file, a run, or the folder of a cross-validation (mien run RECIPE --data.folds 5),
        whose own answers are then taken.
    model
        The network in whose features pictures are compared: a run, an .onnx file, a name. If none is given mien:base
        for expressions, unless it learned from these very pictures, and mien:vit-tiny-imagenet for everything else.
    suspects
        How many to show or list at most, the most suspicious first.
    controls
        How many random pictures to mix in.
    table
        The corrected table, for --data.source table; NAME-corrected.csv here if not given.
    out
        Write the suspects into this table, and open no page.
    page
        Whether to open the page; without it, as with --out and --json, the suspects are listed.
    port
        Of the page on 127.0.0.1; 0 is any free one.
    """
    chosen, network, folds = _reviewed(path, settings, model)
    table = table or Path(f"{_name_of(chosen)}-corrected.csv")
    if table.suffix.lower() != ".csv":
        raise UsageError(f"--table {table}: the corrected table is a CSV file. Give it a name that ends in .csv.")
    if page and not (out or json_):
        _show_review(chosen, network, folds, table, (suspects, controls), port, open_)
    else:
        _list_suspects(chosen, network, folds, table, suspects, out, json_)


def _list_suspects(
    data: config.Data,
    model: str | None,
    folds: Predictions | None,
    table: Path,
    most: int,
    out: Path | None,
    json_: bool,
) -> None:
    from mien.data import listed
    from mien.review.choice import refuse_source
    from mien.review.evidence import gather_evidence
    from mien.review.session import beside, resume
    from mien.review.subject import open_subject
    from mien.review.suspects import confusions, described, ranked, write_suspects

    if out:
        refuse_source(out, data)
    begun = resume(beside(table), listed(data))
    subject = open_subject(data, model, folds)
    evidence = gather_evidence(subject.store, subject.indices, subject.classifier, subject.folds)
    order, found = ranked(evidence)
    listing = described(subject.store, evidence, order[: min(found, most)])
    if out:
        write_suspects(listing, out)
    agree = ", ".join(f"{name} {share:.0%}" for name, share in evidence.accuracy.items())
    note(f"{found:,} of {len(evidence.labels):,} labels are suspects (answers that are the label: {agree})")
    if json_:
        facts = {"images": len(evidence.labels), "suspects": found, "model": subject.model, "agree": evidence.accuracy}
        rate = begun.error_rate().to_dict() if begun else None
        known = {"confusions": confusions(subject.store, evidence), "error_rate": rate}
        print_json({**facts, **known, "listed": [each.to_dict() for each in listing]})
    elif not out:
        print_lines(*(f"{each.name}  {each.label}, perhaps {each.suggested}" for each in listing))
    else:
        print_lines(str(out))


def _show_review(
    data: config.Data, model: str | None, folds: Predictions | None, table: Path, counts: tuple[int, int], port: int,
    open_: bool,
) -> None:  # fmt: skip
    require("the page of a review", "starlette", "uvicorn", "httptools")
    from mien.review.app import Review, create_app
    from mien.review.choice import open_session
    from mien.review.corrected import CorrectedTable
    from mien.serve.server import address, listen, names, run

    session, listing = open_session(data, model, folds, table, *counts)
    corrected = CorrectedTable(table, listing, session, data.path or Path())
    command = f"mien run RECIPE --data.source table --data.path {quoted(table)}"
    review = Review(session, corrected, listing, _name_of(data), command)
    application = create_app(review, names("127.0.0.1"))
    listening = listen("127.0.0.1", port)
    url = address(listening)
    print_lines(url, flush=True)
    done, total = len(session.decisions), len(session.shown)
    note(f"Open it in a browser: {done} of {total} pictures are answered. Answers are in {table}. Ctrl-C ends it.")
    if open_:
        import webbrowser

        webbrowser.open(url)
    run(application, listening)


def _name_of(data: config.Data) -> str:
    """What the data are called: their folder or file, without its ending."""
    path = data.path.resolve() if data.path else Path(data.source)
    return path.stem if path.is_file() else path.name


def _reviewed(
    path: Path, settings: DataSettings | None, model: str | None
) -> tuple[config.Data, str | None, Predictions | None]:
    """The data under review, the network that was named, and the answers of a cross-validation."""
    from mien.review.subject import is_of_run, of_run
    from mien.runs.data import lying_at

    if not is_of_run(path):
        return settings_of(path, settings), model, None
    given = settings.data.model_dump(exclude_unset=True) if settings else {}
    if given.keys() - {"path"}:
        raise UsageError(f"{path} is a run: its data settings are its own. Say only where its images lie: --data.path.")
    with lying_at(given.get("path")):
        data, folds = of_run(path)
    return data, model, folds
