"""What the command line does with runs and exports, as functions, and `Run`, what training gives.

`import mien` shows them all. Averages, sweeps, submissions and the preparing of data are of the command line alone.
Each verb imports what it needs when it is called, so that reading a face loads no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from mien import plugins
from mien.arguments import file_of, is_network, place_of, reading, run_place, settings_of, several, verb
from mien.catalogue import from_pretrained
from mien.config import Recipe
from mien.errors import UsageError
from mien.runs import RunFolder, is_run
from mien.shipping import export, load, push

if TYPE_CHECKING:
    from mien.arguments import Place, Source
    from mien.evaluate.compare import Comparison
    from mien.evaluate.embedding import Embedding
    from mien.evaluate.training_pictures import TrainingPicture
    from mien.explain import Explanation
    from mien.explain.explanation import ImageLike
    from mien.export import Export
    from mien.pretrained import Classifier
    from mien.proof import Proof
    from mien.push import Push
    from mien.runs import Scores
    from mien.runtime import Reader
    from mien.train.lr_finder import RangeTest
    from mien.web import WebFolder

    Split = Literal["validation", "test", "train"]


class Run(RunFolder):
    """A run folder with the verbs that can be said of it: `mien.train` gives one, `Run.open(path)` reads one.

    path: the folder. recipe: what was run. scores: by split, scores["validation"].accuracy. history: the learning
    curves, by column. env: versions, hardware, counts, warnings. predictions(split): every image's probabilities.
    """

    def evaluate(self, split: Split = "validation", **options: Any) -> Scores:
        """As `mien.evaluate(run, split)`."""
        return evaluate(self, split, **options)

    def explain(self, image: ImageLike, **options: Any) -> Explanation:
        """As `mien.explain(run, image)`."""
        return explain(self, image, **options)

    @verb
    def nearest(self, image: ImageLike, n: int = 5, *, data: Place | None = None) -> tuple[TrainingPicture, ...]:
        """Return the n training pictures whose features are most like those of a picture, the nearest first.

        image: as of `mien.explain`. data: where the run's images lie now, where they were moved.
        """
        from mien.evaluate.training_pictures import nearest_training
        from mien.explain.explanation import seen

        with reading(data=data):
            network = from_pretrained(self)
            return nearest_training(self.path, network, seen(network, image), n)[0]

    @overload
    def export(self, out: str | Path | None = None, *, web: None = None, **options: Any) -> Export: ...

    @overload
    def export(self, out: str | Path | None = None, *, web: str | Path, **options: Any) -> WebFolder: ...

    def export(self, out: str | Path | None = None, **options: Any) -> Export | WebFolder:
        """As `mien.export(run, out)`."""
        return export(self, out, **options)

    @verb
    def report(
        self, *, explain: bool = False, by: str | None = None, table: str | Path | None = None,
        data: Place | None = None,
    ) -> Path:  # fmt: skip
        """Write the run's page, report.html, and return its path.

        explain: with maps of the worst mistakes. by, table: with subgroups, as in `mien.evaluate`.
        """
        from mien.report import write_report

        with reading(data=data):
            return write_report(self.path, explain=explain, by=by, table=file_of(table))

    def push(self, repository: str, **options: Any) -> Push:
        """As `mien.push(run, repository)`."""
        return push(self, repository, **options)

    def load(self) -> Reader:
        """As `mien.load(run)`."""
        return load(self)


def _made(recipe: object, verb: str) -> Recipe:
    """The recipe, if it is one. Raises UsageError that says how to make one, of a name for example."""
    if isinstance(recipe, Recipe):
        return recipe
    name = recipe if isinstance(recipe, str) else "folder_vit"
    how = f"`mien.{verb}(mien.recipe({name!r}, data={{'path': 'pictures'}}))`"
    raise UsageError(f"`mien.{verb}` takes a recipe, given {recipe!r}. Make one: {how}")


@verb
def train(recipe: Recipe, out: str | Path | None = None, *, overwrite: bool = False) -> Run:
    """Train a recipe from the start, score it on validation and write its page.

    out: the run folder; runs/RECIPE-DATE-SEED if not given. overwrite: replace the run that is there.
    Raises UsageError for settings that do not fit, a name in place of a recipe, or an `out` that is in use;
    MissingError for data that is not there; DataError for pictures that cannot be read.
    """
    from mien.train.run import run as start

    return _finished(start(_made(recipe, "train"), file_of(out), overwrite=overwrite))


@verb
def resume(
    run: Source, *, epochs: int | None = None, data: Place | None = None, init: str | Path | None = None,
    teachers: Sequence[str | Path] = (), allow_code: Sequence[str] = (),
) -> Run:  # fmt: skip
    """Go on with a run after its last finished epoch; what is finished comes back as it is.

    epochs: how many it is to have in all, more than it has: it goes on from its last weights and optimizer, with the
    schedule stretched to the new length, and its scores are made anew.
    data: {"path": FOLDER} or FOLDER, where its images lie now if they were moved, as in every verb that opens a run's
    images. init, teachers: where the networks lie now that it starts and learns from, if they were moved.
    allow_code: names MODULE:NAME (or one) in the run's files that may be imported, as in every verb that reads files.
    """
    from mien.runs.folder import is_finished
    from mien.train.run import resume as go_on

    with reading(allow_code, data, init, teachers):
        folder = run_place(run, "resume")
        done = is_finished(folder) and epochs is None
        return Run.open(folder) if done else _finished(go_on(folder, epochs))


@verb
def lr(recipe: Recipe, *, steps: int = 100) -> RangeTest:
    """Find a learning rate for a recipe by a range test: a step each at rates that rise from 1e-6 to 10.

    steps: how many, at least 20. Its `suggestion` is for `train.lr`, None where the loss falls nowhere; its `rates` and
    `losses` are the curve, which ends where the loss rises to 4 times its least. Nothing is kept.
    Raises UsageError for too few steps and for settings that do not fit, and for its data as `train` does.
    """
    from mien.train.lr_finder import find_lr

    return find_lr(_made(recipe, "lr"), steps)


@verb
def adopt(
    source: str | Path, out: str | Path | None = None, *, labels: Sequence[str] = (), data: Place | None = None,
    output: str | None = None, overwrite: bool = False, **pixels: Any,
) -> Run:  # fmt: skip
    """Return a run of somebody's trained classifier, and score it where `data` are given; nothing is trained.

    source: an image classifier of transformers (its folder or hub id), weights with a head that `from_pretrained`
    reads, or an .onnx file. labels: names of its classes in the order of its outputs, where it does not say them. data:
    a folder of images, or settings of a data section; without, `evaluate(run, data=...)` scores it later. output: which
    of an .onnx file's outputs has the classes. pixels: size, channels, mean, std, fit, interpolation and resize_size of
    its input, where it does not say them (an .onnx file never says mean and std, of pixels in 0..1).
    Raises UsageError for what must be said and is not, MissingError for what is not there, DataError for a source that
    is no such classifier, or data with a class that it does not know.
    """
    from mien.adopt import adopt as write

    place, names = file_of(out), several(labels)
    chosen = None if data is None else settings_of(data)
    folder = write(source, place, labels=names, output=output, data=chosen, pixels=pixels, overwrite=overwrite)
    return _finished(folder) if chosen else Run.open(folder)


@verb
def evaluate(
    model: Source, split: Split | Literal["all"] = "validation", *, data: Place | None = None, by: str | None = None,
    table: str | Path | None = None, device: str = "cpu", allow_code: Sequence[str] = (),
) -> Scores:  # fmt: skip
    """Score a run on a split of its data, or an export on any data.

    model: a Run or its folder; or, with `data`, an .onnx file, 'mien:tiny' or 'hf-hub:OWNER/NAME'.
    split: choose on validation; every reading of test is noted in the run. 'all': every image, for exports and adopted
    runs.
    data: where the images of an export lie, "pictures" or {"path": "pictures"}, or more settings of a recipe's data
    section. Of an adopted run without data: those that it is to have. Of a run whose images were moved: where they lie
    now, the path alone.
    by: a column of the data's table by which to score subgroups as well, `scores.subgroups`. table: another table with
    that column, and the pictures' names in a column path. device: what computes the network, as of `load`.
    """
    from mien.evaluate.exported import evaluate_export
    from mien.evaluate.split import evaluate as score_run
    from mien.runs.folder import is_without_data
    from mien.runtime.network import Network

    place = place_of(model)
    if data is not None and not (isinstance(place, Path) and is_run(place)):
        network, chosen = Network.open(place, device=device), Recipe().with_(data=settings_of(data)).data
        return evaluate_export(network, chosen, split, by=by, table=file_of(table))
    if is_network(place):
        raise UsageError(f"{place} has no data of its own. Say on which to score it: give `data`, a folder of images.")
    if data is not None and is_without_data(Path(place)):
        from mien.adopt import meet

        meet(Path(place), settings_of(data), device)
        data = None
    with reading(allow_code, data):
        return score_run(place, split, by=by, table=file_of(table), device=device)


@verb
def compare(
    *runs: Source, split: Split = "validation", by: str | None = None, table: str | Path | None = None,
    data: Place | None = None, allow_code: Sequence[str] = (),
) -> Comparison:  # fmt: skip
    """Compare runs on the same images: scores, learning curves, paired tests (McNemar, corrected by Holm).

    by, table: within subgroups as well, as in `evaluate`.
    Raises UsageError for fewer than two runs, or runs scored on other images.
    """
    from mien.evaluate.compare import compare as compare_runs

    with reading(allow_code, data):
        return compare_runs([run_place(run, "compare") for run in runs], split, by=by, table=file_of(table))


@verb
def explain(
    model: Classifier | Source,
    image: ImageLike,
    methods: Sequence[str] | None = None,
    target: str | int | None = None,
    *,
    verdicts: bool = True,
    nearest: int = 5,
    data: Place | None = None,
    allow_code: Sequence[str] = (),
) -> Explanation:
    """Open a trained model up and follow one picture through it.

    model: a Run or its folder, an .onnx file of mien's, 'mien:base', or what `from_pretrained` gives.
    image: a path, a PIL image, or a uint8 array (H, W) or (H, W, 3); of an animation, the first frame.
    methods: names out of `mien.explain.attribution.methods_of(model)`, None for all. target: the class to explain, by
    name or number; None for the predicted one. verdicts: also measure how far each map can be believed, which takes
    most of the time. nearest: of a run, how many of the training pictures that are most like this one to look for;
    data: where its images lie now.
    Raises UsageError for a method or class that the model does not have, MissingError and DataError for a picture that
    is not there or cannot be read.
    """
    from torch import nn

    from mien.explain import explain as look_inside

    methods = None if methods is None else several(methods)
    if isinstance(model, nn.Module):
        return look_inside(model, image, methods, target, verdicts=verdicts)
    place = place_of(model)
    run = place if isinstance(place, Path) and is_run(place) else None
    with reading(allow_code, data):
        opened = from_pretrained(model, allow_code=allow_code)
        return look_inside(opened, image, methods, target, verdicts=verdicts, run=run, nearest=nearest)


@verb
def embed(
    where: Source | Mapping[str, Any],
    model: Source | None = None,
    *,
    data: Place | None = None,
    allow_code: Sequence[str] = (),
) -> Embedding:
    """Send pictures through a network and return what its head would read of each: `Embedding.features`, (n, D).

    where: a folder of images, a table, a data section such as {"source": "fer2013", "path": "FER2013"}, or a run, whose
    images and network are taken. model: the network, as of `load`; if not given the run's own, mien:base for
    expressions, mien:vit-tiny-imagenet for everything else.
    Raises MissingError for pictures that are not there, UsageError for a network that does not part features and head.
    """
    from mien import config
    from mien.data import guess_source
    from mien.evaluate.embedding import embed as look
    from mien.evaluate.embedding import of_run

    network = None if model is None else str(place_of(model))
    with reading(allow_code, data):
        if isinstance(where, Mapping):
            return look(config.build({"data": dict(where)}).data, network)
        place = Path(place_of(where))
        if is_run(place):
            return look(of_run(place), network or str(place))
        return look(config.build({"data": {"path": place, "source": guess_source(place)}}).data, network)


@overload
def verify(path: str | Path | Run) -> list[str]: ...


@overload
def verify(
    path: str | Path | Run,
    *,
    data: Place,
    split: Literal["validation", "test"] = "validation",
    robustness: bool = False,
    allow_code: Sequence[str] = (),
) -> Proof: ...


@verb
def verify(
    path: str | Path | Run,
    *,
    data: Place | None = None,
    split: Literal["validation", "test"] = "validation",
    robustness: bool = False,
    allow_code: Sequence[str] = (),
) -> list[str] | Proof:
    """Read all of a run, a store of images or a file; return a sentence for each thing that is not as mien wrote it.

    data: images, as for `evaluate`. With it, what an export ('mien:base' too) or a run says of itself is worked out
    again, and the result is a `Proof`: each claim with what was found and whether it holds.
    split: 'test' reads the test split too, where there are scores of it; a run notes that.
    robustness: score changed images too, which takes twenty times as long as all else.
    """
    from mien.verify import verify as look

    place = place_of(path)
    if data is None:
        return look(Path(place))

    from mien.proof import prove

    settings = settings_of(data)
    if not is_run(Path(place)):
        with plugins.allowing(allow_code):
            return prove(place, settings, split=split, robustness=robustness)
    own = RunFolder.open(place).recipe.data
    changed = {key: value for key, value in settings.items() if getattr(own, key, None) != value}
    with reading(allow_code, changed or None):
        return prove(place, {}, split=split, robustness=robustness)


def _finished(folder: Path) -> Run:
    from mien.report import write_report
    from mien.runs.processes import is_first_process

    if is_first_process():
        write_report(folder)
    return Run.open(folder)
