"""`mien data`: look at a data set before training on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number
from pydantic import Field

from mien import config, media
from mien.cli.app import Json, Open, Path_, app, print_json, print_lines, quoted
from mien.config import Settings
from mien.errors import MienError, UsageError, require
from mien.progress import note

if TYPE_CHECKING:
    from mien.data.audit import Audit
    from mien.runs import Predictions

data_app = App(name="data", help="Look at a data set before training on it.")
app.command(data_app)


class DataSettings(Settings):
    """The data section of a recipe, for the `mien data` commands."""

    data: config.Data = Field(default_factory=config.Data)


DataSettable = Annotated[DataSettings | None, Parameter(name="*", show_default=False)]


@data_app.command
def prepare(path: Path_, *, out: Path | None = None, json_: Json = False, settings: DataSettable = None) -> None:
    """Decode a data set once into a store, which every later run opens at once.

    Parameters
    ----------
    path
        A folder of images or a CSV file.
    out
        Where the store goes; the user's cache if not given.
    """
    from mien.data import prepare as prepare_store

    store = prepare_store(_data(path, settings), out)
    counts = {split: int(store.class_counts(split).sum()) for split in ("train", "validation", "test")}
    if json_:
        found = {"images": counts, "classes": store.classes, "left_out": store.left_out}
        print_json(found | {"unreadable": list(store.unreadable), "fingerprint": store.fingerprint})
        return
    print_lines(
        ", ".join(f"{count:,} {split}" for split, count in counts.items() if count) + " images",
        f"{len(store.classes)} classes: {', '.join(store.classes)}",
        f"fingerprint: {store.fingerprint}",
    )
    left_out = {**store.left_out, "unreadable": len(store.unreadable)}
    if any(left_out.values()):
        print_lines(f"left out: {media.told(left_out)}")
    note(f"Next: mien data audit {quoted(path)}")


@data_app.command
def show(path: Path_, *, out: Path = Path("data.png"), settings: DataSettable = None) -> None:
    """Draw how many images each class has, and samples of each.

    Parameters
    ----------
    path
        A folder of images or a CSV file.
    out
        The picture to write.
    """
    from mien.data import open_store
    from mien.data.show import show as draw

    draw(open_store(_data(path, settings)), out)
    print_lines(str(out))


@data_app.command
def audit(
    path: Path_,
    *,
    out: Path | None = None,
    near: Literal["on", "off"] = "on",
    sheet: Path | None = None,
    fail_on: str = "",
    json_: Json = False,
    settings: DataSettable = None,
) -> None:
    """Find copies and near copies, conflicting labels, small classes, blank, unreadable and odd-sized images.

    Parameters
    ----------
    path
        A folder of images or a CSV file.
    out
        Also write the names of the clean test (or validation) images, one a line.
    near
        Whether to look for near copies: photographs that are there again shifted, mirrored, lit or marked otherwise.
    sheet
        Also draw the near copies side by side into this PNG.
    fail_on
        Findings that make the exit code 1, such as copies,unreadable.
    """
    from mien.data import prepare as prepare_store
    from mien.data.audit import audit as audit_store
    from mien.data.audit import clean_names, write_names
    from mien.data.near import near_copies

    if near == "off" and (sheet or "near" in fail_on):
        raise UsageError("--near off: without near copies there are none to draw or to fail on.")
    chosen = _data(path, settings).with_(skip_bad=True)
    store = prepare_store(chosen)
    found = near_copies(store) if near == "on" else None
    findings = audit_store(store, found)
    split = "test" if store.has("test") else "validation"
    if out and not store.has(split):
        raise UsageError(f"--out {out}: {path} has neither test nor validation images, so there are no names to write.")
    if out:
        write_names(clean_names(store, split, found), out)
        note(f"{out}: the {split} images that have no {'near ' if found else ''}copy among the training images")
    if found and sheet:
        from mien.data.near.sheet import draw_sheet

        note(f"{sheet}: {draw_sheet(store, found, sheet):,} photographs with near copies, the least alike first")
    if json_:
        print_json(findings.to_dict())
    else:
        print_lines(*findings.describe().split("\n"))
        if findings.unreadable:
            note("Unreadable files stop a run: remove them, or train with --data.skip_bad")
        if findings.small_classes:
            note("Small classes are hardly learned: add images, or leave them out with --data.without")
        note(f"Next: {_next(chosen, findings)}")
    failed = findings.failed(fail_on.split(",") if fail_on else [])
    if failed:
        raise MienError(f"The audit found {', '.join(failed)}.")


@data_app.command
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
    from mien.review.evidence import gather_evidence
    from mien.review.session import beside, resume
    from mien.review.subject import open_subject
    from mien.review.suspects import confusions, described, ranked, write_suspects

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
        return _data(path, settings), model, None
    given = settings.data.model_dump(exclude_unset=True) if settings else {}
    if given.keys() - {"path"}:
        raise UsageError(f"{path} is a run: its data settings are its own. Say only where its images lie: --data.path.")
    with lying_at(given.get("path")):
        data, folds = of_run(path)
    return data, model, folds


def _next(data: config.Data, findings: Audit) -> str:
    """The command that trains on what was audited, without what stops or spoils it."""
    if data.source not in ("folder", "table"):
        return "mien recipes lists what trains on it"
    words = ["mien", "run", "folder_cnn", "--data.path", str(data.path)]
    words += ["--data.source", "table"] if data.source == "table" else []
    words += ["--data.encoding", data.encoding] if data.encoding else []
    words += ["--data.skip_bad"] if findings.unreadable else []
    enough = len(findings.classes) - len(findings.small_classes) >= 2
    words += [word for name in findings.small_classes if enough for word in ("--data.without", name)]
    return " ".join(map(quoted, words))


def data_of(path: Path, settings: DataSettings | None) -> tuple[config.Data, str | None]:
    """The data section of a path, and the network of its own that it has as a run."""
    from mien.evaluate.embedding import of_run
    from mien.runs import is_run
    from mien.runs.data import lying_at

    if not is_run(path):
        return _data(path, settings), None
    given = settings.data.model_dump(exclude_unset=True) if settings else {}
    if given.keys() - {"path"}:
        raise UsageError(f"{path} is a run: its data settings are its own. Say only where its images lie: --data.path.")
    with lying_at(given.get("path")):
        return of_run(path), str(path)


def _data(path: Path, settings: DataSettings | None) -> config.Data:
    from mien.data import guess_source

    given = settings.data.model_dump(exclude_unset=True) if settings else {}
    given = config.merge(config.from_environment().get("data", {}), given)
    source = given.get("source") or guess_source(path, given.get("encoding"))
    return config.build({"data": {**given, "path": path, "source": source}}).data
