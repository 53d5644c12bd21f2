"""Lists of values -> runs: reading them, naming them, refusing bad ones."""

from pathlib import Path

import pytest
from sweep_plans import LAYERS, plan

from mien import config
from mien.config.sweep_plan import Plan, Range, make_plan, nested, parse, read_plan, refuse_changed
from mien.errors import DataError, MissingError, UsageError


def names(flags, **how):
    return [trial.name for trial in plan(flags, **how).trials()]


def test_a_grid_is_the_product_of_its_lists():
    found = plan({"train.lr": "1e-3,1e-4", "train.epochs": "5", "seed": "0,1"})
    assert [trial.name for trial in found.trials()] == [
        "lr=0.001,seed=0", "lr=0.001,seed=1", "lr=0.0001,seed=0", "lr=0.0001,seed=1",
    ]  # fmt: skip
    assert found.trials()[1].label == "lr 0.001, seed 1"
    assert found.fixed == {"train.epochs": 5}
    recipe = found.build(found.trials()[3].settings)
    assert (recipe.train.lr, recipe.train.epochs, recipe.seed) == (1e-4, 5, 1)


def test_pairs_go_side_by_side():
    assert names({"data.size": "32,48", "train.lr": "0.1,0.2"}, pairs=True) == ["size=32,lr=0.1", "size=48,lr=0.2"]


@pytest.mark.parametrize(
    ("key", "text", "values"),
    [
        ("train.lr", "1e-3", 0.001),
        ("train.epochs", "3", 3),
        ("train.compile", "true", True),
        ("data.channels", "3", 3),
        ("data.path", "2024", "2024"),
        ("model.depth", "null", None),
        ("model.pos_embed", "none", "none"),
        ("augment.scale", "[0.9,1.1]", [0.9, 1.1]),
        ("data.mean", "[0.1, 0.2, 0.3]", [0.1, 0.2, 0.3]),
    ],
)
def test_a_value_is_what_its_field_makes_of_it(key, text, values):
    found = parse(key, text)
    assert (found, type(found)) == (values, type(values))


def test_a_mapping_is_no_range():
    found = plan({"train.unfreeze": "{2: 1}, {2: 1, 3: [0, 4]}", "model.name": "vit", "model.depth": "5"})
    schedules = [found.build(trial.settings).train.unfreeze for trial in found.trials()]
    assert schedules == [{2: 1}, {2: 1, 3: (0, 4)}]
    assert plan({"train.unfreeze": "{2: 1}", "seed": "0,1"}).build({}).train.unfreeze == {2: 1}


def test_lists_of_lists_stand_in_brackets():
    found = plan({"augment.scale": "[0.9,1.1], [0.8,1.2]", "model.widths": "[4,8]"})
    assert found.fields == {"augment.scale": [[0.9, 1.1], [0.8, 1.2]]}
    assert [trial.name for trial in found.trials()] == ["scale=0.9-1.1", "scale=0.8-1.2"]
    assert found.build(found.trials()[1].settings).augment.scale == (0.8, 1.2)
    assert found.build({}).model.widths == (4, 8)


def test_folder_names_are_safe_and_each_its_own():
    paths = names({"data.path": f"a/b c,a:b c,{'x' * 300}"})
    assert paths == ["path=a-b-c", "path=a-b-c-2", "path=" + "x" * 60]
    assert names({"model.init": "a,b", "data.size": "8,16"})[0] == "init=a,size=8"
    both = plan({"data.fold": "0,1", "data.folds": "2,3", "augment.scale": "[1,1],[1,2]"})
    assert list(both.short.values()) == ["fold", "folds", "scale"]


def test_fields_of_the_same_last_name_keep_their_section(monkeypatch):
    found = Plan(None, None, [], {}, {"data.size": [8, 16], "model.size": [1, 2], "seed": [0, 1]})
    assert list(found.short.values()) == ["data.size", "model.size", "seed"]


def test_another_model_leaves_the_sizes_behind_as_in_mien_run():
    found = plan({"model.name": "lenet,resnet", "train.epochs": "2"})
    lenet, resnet = (found.build(trial.settings) for trial in found.trials())
    assert lenet == config.build(LAYERS[0], {"model": {"name": "lenet"}, "train": {"epochs": 2}})
    assert resnet.model.name == "resnet"


def test_the_command_of_a_run_says_its_settings_as_flags():
    found = make_plan("folder_cnn", Path("my file.yaml"), LAYERS, {"model.widths": "[4,8]", "augment.scale": "[1,2]",
                      "train.compile": "true", "train.lr": "1e-3,2e-3"})  # fmt: skip
    assert found.command({"train.lr": 0.002}) == (
        "mien run folder_cnn --config 'my file.yaml' --model.widths 4 --model.widths 8 --augment.scale 1.0 2.0 "
        "--train.compile=true --train.lr 0.002"
    )
    colours = plan({"data.mean": "[0.1,0.2,0.3],0.5"})
    assert colours.command(colours.trials()[0].settings).endswith(" --data.mean 0.1,0.2,0.3")
    assert colours.command(colours.trials()[1].settings).endswith(" --data.mean 0.5")
    sides = plan({"data.resize_size": "null,96"})
    assert sides.command(sides.trials()[0].settings).endswith(" --data.resize_size null")


@pytest.mark.parametrize(
    ("flags", "how", "text"),
    [
        ({"train.lr": "1e-3,-1"}, {}, "train.lr: Input should be greater than 0, given '-1'."),
        ({"train.epochs": "three,4"}, {}, "train.epochs: Input should be a valid integer"),
        ({"train.optimizer": "adam,sgdd"}, {}, "Input should be 'sgd', 'adam', 'adamw' or 'muon', given 'sgdd'"),
        ({"augment.scale": "0.9,1.1"}, {}, "given '0.9'. Lists stand in brackets: [0.9,1.1],[0.8,1.2]."),
        ({"augment.scale": "[1.1,0.9],[1,1]"}, {}, "a range goes from a smaller number above 0 to a larger one"),
        ({"train.lr": "1e-3,"}, {}, "train.lr: a value is missing in '1e-3,'."),
        ({"train.lr": "1e-3,0.001"}, {}, "`train.lr` 1e-3,0.001: 0.001 is given twice."),
        ({"train.lr": "1e-3"}, {}, "Nothing to sweep: give a setting several values"),
        ({}, {}, "Nothing to sweep"),
        ({"train.lr": "1e-5:1e-2:log"}, {}, "is a range. Give a list, or search it: `search=20`."),
        ({"train.epochs": "1:30"}, {}, "`train.epochs` 1:30 is a range."),
        ({"augment.crop": "10,100"}, {}, "augment.crop 100 is larger than data.size"),
        ({"train.lr": "1,2,3", "seed": "0,1"}, {"pairs": True}, "train.lr has 3, seed has 2 values"),
        ({"train.lr": "1:2"}, {"search": 0}, "`search` 0: give the number of runs"),
        ({"train.lr": "1:2"}, {"search": 3, "pairs": True}, "`pairs=True` joins the lists of a grid"),
        ({"train.lr": "1:2", "seed": "0,1"}, {"search": 3}, "A search over seeds finds the luckiest one."),
        ({"train.lr": "1:2", "seed": "0:9"}, {"search": 3}, "A search over seeds finds the luckiest one."),
        ({"data.folds": "3", "data.fold": "0,1,2,all"}, {}, "`data.fold` all: a run on everything is scored by the"),
        ({"train.lr": "2:1"}, {"search": 3}, "`train.lr` 2:1: a range goes from a smaller number to a larger one."),
        ({"train.lr": "0:1"}, {"search": 3}, "train.lr: Input should be greater than 0, given '0'."),
        ({"train.weight_decay": "0:1:log"}, {"search": 3}, "a logarithmic range starts above 0."),
        ({"model.name": "a:b"}, {"search": 3}, "Nothing to sweep"),
    ],
)  # fmt: skip
def test_bad_lists_are_refused_before_anything_else(flags, how, text):
    with pytest.raises(UsageError) as caught:
        plan(flags, **how)
    assert text in str(caught.value)


def test_a_plan_is_read_back_as_it_was_written(tmp_path):
    for made in (
        plan({"data.path": "a/b", "train.lr": "1e-3,1e-4", "augment.scale": "[1,1],[1,2]"}),
        plan({"model.name": "vit", "train.lr": "1e-5:1e-2:log", "model.depth": "2:6", "train.ema": "0,0.9"}, search=5),
    ):
        made.save(tmp_path)
        assert read_plan(tmp_path) == made
        refuse_changed(tmp_path, made)
    assert made.fields["model.depth"] == Range(2, 6)
    assert "5 runs of a search over train.lr 1e-05 to 0.01 (log) x model.depth 2 to 6" in made.describe()


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({"train.lr": "1e-3,2e-3"}, "holds another sweep: train.lr 0.001, 0.0001; not train.lr 0.001, 0.002."),
        ({"train.lr": "1e-3,1e-4", "train.epochs": "7"}, "other settings: train.epochs is 3 there, 7 here."),
        ({"train.lr": "1e-3,1e-4", "train.epochs": "3", "seed": "4"}, "other settings: seed is 0 there, 4 here."),
    ],
)
def test_a_changed_plan_is_refused(tmp_path, flags, text):
    plan({"train.lr": "1e-3,1e-4", "train.epochs": "3"}).save(tmp_path)
    with pytest.raises(UsageError) as caught:
        refuse_changed(tmp_path, plan(flags))
    assert text in str(caught.value)
    assert "or `resume` that one" in str(caught.value)


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"runs": [], "fields": {"a": {"lo": 1}}}'])
def test_a_damaged_plan_is_named(tmp_path, damage):
    with pytest.raises(MissingError, match=r"is not a sweep: it has no sweep\.json"):
        read_plan(tmp_path)
    (tmp_path / "sweep.json").write_text(damage)
    with pytest.raises(DataError, match=r"sweep\.json is damaged"):
        read_plan(tmp_path)


def test_nested_settings():
    assert nested({"train.lr": 1, "train.ema": 0, "seed": 2}) == {"train": {"lr": 1, "ema": 0}, "seed": 2}
