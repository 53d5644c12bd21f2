import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien import config
from mien.config import Data, Model, Recipe, Train, build, dump, from_environment, from_file, merge
from mien.errors import DataError, MissingError, SettingError, UsageError
from mien.runs import read_recipe


def test_a_recipe_written_out_comes_back(tmp_path):
    recipe = build({"seed": 7, "model": {"name": "resnet", "widths": [3, 5]}, "augment": {"scale": [0.5, 2]}})
    path = tmp_path / "recipe.yaml"
    path.write_text(dump(recipe))
    assert build(from_file(path)) == recipe


def test_later_layers_win_key_by_key():
    recipe = build({"train": {"epochs": 3, "lr": 0.5}}, {"train": {"epochs": 5}}, {})
    assert (recipe.train.epochs, recipe.train.lr) == (5, 0.5)


def test_environment():
    found = from_environment({"MIEN_TRAIN__EPOCHS": "5", "MIEN_DATA__PATH": "/x", "MIEN_CACHE": "/y", "HOME": "/z"})
    assert found == {"train": {"epochs": 5}, "data": {"path": "/x"}}


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"train": {"epoch": 3}},
            r"Unknown key 'train\.epoch'\. Did you mean 'epochs'\? Known here: epochs, batch_size",
        ),
        ({"trian": {}}, r"Unknown key 'trian'\. Did you mean 'train'\?"),
        ({"train": {"epochs": "five"}}, r"train\.epochs: .*given 'five'"),
        ({"train": {"lr": -1}}, r"train\.lr: Input should be greater than 0, given -1"),
        ({"train": {"optimizer": "adamm"}}, r"train\.optimizer: .*'sgd', 'adam', 'adamw' or 'muon'"),
        ({"train": {"lr": float("nan")}}, r"train\.lr"),
        ({"model": {"patch_size": 0}}, r"model\.patch_size: Input should be greater than or equal to 1"),
        (
            {"augment": {"scale": [1.1, 0.9]}},
            r"augment\.scale: a range goes from .*given \[1\.1, 0\.9\]",
        ),
        ({"augment": {"crop": 50}}, r"^augment\.crop 50 is larger than data\.size 48\.$"),
        ({"train": {"batch_size": 7, "processes": 2}}, r"^train\.batch_size 7 cannot be shared equally by"),
        (
            {"data": {"source": "foldr"}},
            r"data\.source: there is no such reader\. Did you mean 'folder'\? .*drawn_faces, given 'foldr'",
        ),
        ({"data": {"split_seed": -1}}, r"data\.split_seed: Input should be greater than or equal to 0, given -1"),
        (
            {"train": {"batch_size": 30, "processes": 2}, "augment": {"cutmix": 1.0}},
            r"the 15 images of each of train\.processes 2 are no pairs.*batch_size that 4 divides",
        ),
        ({"model": {"drop_path_rate": 1}}, r"model\.drop_path_rate: Input should be less than 1"),
    ],
)
def test_a_bad_setting_is_named(values, text):
    with pytest.raises(UsageError, match=text):
        build(values)


def test_a_variable_that_is_no_value():
    with pytest.raises(UsageError, match=r"In the environment, MIEN_DATA__PATH=\[x is no YAML value"):
        from_environment({"MIEN_DATA__PATH": "[x"})


def test_bad_files(tmp_path):
    with pytest.raises(MissingError, match="there is no such file"):
        from_file(tmp_path / "none.yaml")
    path = tmp_path / "bad.yaml"
    path.write_text("a: [")
    with pytest.raises(UsageError, match="is not YAML"):
        from_file(path)
    path.write_text("- a")
    with pytest.raises(UsageError, match="found list"):
        from_file(path)


def test_a_damaged_recipe_of_a_run_is_named_without_a_flag(tmp_path):
    (tmp_path / "recipe.yaml").write_text("train: [")
    with pytest.raises(DataError, match=r"^The run cannot be read: .*recipe\.yaml is not YAML"):
        read_recipe(tmp_path)
    (tmp_path / "recipe.yaml").write_text("train: {epoch: 3}")
    with pytest.raises(DataError, match=r"^The run cannot be read: .*epochs"):
        read_recipe(tmp_path)


def test_recipes_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Recipe().seed = 3


def test_model_sizes_are_those_that_were_set():
    recipe = build({"model": {"name": "vit", "depth": 2, "qkv_bias": False}})
    assert recipe.model.sizes() == {"depth": 2, "qkv_bias": False}


def test_null_takes_back_what_a_recipe_starts_from():
    started = Recipe(model=Model(name="vit", init="mien:vit-tiny-imagenet"))
    for none in (None, "null"):
        model = build(started.model_dump(), {"model": {"init": none}}).model
        assert (model.init, model.checkpoint, model.sizes()) == (None, None, {})
    assert Model(name="timm:resnet18", init="null").sizes() == {}


@pytest.mark.parametrize("null", ["null", ["null"]])
def test_null_takes_back_any_setting_that_may_be_none(null):
    found = Recipe(data={"resize_size": null, "mean": null, "fold": null}, model={"name": "vit", "stem_widths": null})
    assert (found.data.resize_size, found.data.mean, found.data.fold) == (None, None, None)
    assert found.model.sizes() == {}
    with pytest.raises(SettingError, match=r"data\.size: Input should be a valid integer"):
        Recipe(data={"size": "null"})


def test_another_model_leaves_the_sizes_of_the_first_behind():
    first = {"model": {"name": "vit", "depth": 2}}
    assert build(first, {"model": {"name": "lenet"}}).model.sizes() == {}
    assert build(first, {"model": {"name": "vit", "num_heads": 2}}).model.sizes() == {"depth": 2, "num_heads": 2}
    assert build(first, {"train": {"epochs": 3}}).model.depth == 2
    unnamed = {"model": {"depth": 3}}  # of the default model
    assert build(unnamed, {"model": {"name": "vit"}}).model.sizes() == {"depth": 3}
    assert build(unnamed, {"model": {"name": "lenet"}}).model.sizes() == {}


sections = st.dictionaries(
    st.sampled_from("abc"), st.integers() | st.dictionaries(st.sampled_from("xy"), st.integers())
)


@given(sections, sections)
def test_merge_keeps_what_is_not_overridden(base, over):
    merged = merge(base, over)
    assert set(merged) == set(base) | set(over)
    assert merge(base, {}) == base
    assert merge({}, over) == over
    for key, value in over.items():
        if isinstance(value, dict):
            assert merged[key] | value == merged[key]
        else:
            assert merged[key] == value


def test_a_described_recipe_is_the_same_recipe(tmp_path):
    from mien.recipes import load

    recipe = load("fer2013_vit_best")[0]
    text = config.dump(recipe, described=True)
    assert f"\n  epochs: {recipe.train.epochs}  # Passes over the training images.\n" in text
    assert "\n  patch_size: 8  # Side of a patch, in pixels.\n" in text
    (tmp_path / "described.yaml").write_text(text)
    assert config.build(config.from_file(tmp_path / "described.yaml")) == recipe


def test_a_section_without_lines_changes_nothing(tmp_path):
    (tmp_path / "c.yaml").write_text("train:\n  # epochs: 3\nmodel:\nseed: 4\n")
    layers = [{"train": {"epochs": 7}}, config.from_file(tmp_path / "c.yaml"), {"model": {"init": "runs/some"}}]
    assert (build(*layers).train.epochs, build(*layers).seed) == (7, 4)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Recipe(trian={}), r"^Unknown key 'trian'\. Did you mean 'train'\? Known here: name, seed"),
        (lambda: Recipe(train={"epoch": 5}), r"^Unknown key 'train\.epoch'\. Did you mean 'epochs'\?"),
        (lambda: Data(sise=48), r"^Unknown key 'data\.sise'\. Did you mean 'size'\?"),
        (lambda: Train(lr=-1), r"^train\.lr: Input should be greater than 0, given -1\.$"),
        (lambda: Data().with_(size=4), r"^data\.size: Input should be greater than or equal to 8, given 4\.$"),
        (lambda: Recipe().with_(train={"epoch": 5}), r"^Unknown key 'train\.epoch'\. Did you mean 'epochs'\?"),
        (lambda: Recipe().with_(trian={}), r"^Unknown key 'trian'\. Did you mean 'train'\?"),
        (lambda: config.build({3: {}}), r"^Unknown key '3'\."),
        (lambda: config.build({"train": {3: 4}}), r"^Unknown key 'train\.3'\."),
    ],
)
def test_settings_are_refused_in_one_sentence_wherever_they_are_given(build, said):
    with pytest.raises(UsageError, match=said):
        build()


def test_with_changes_what_is_named_and_nothing_else():
    before = Recipe(train=Train(epochs=3, lr=0.1))
    after = before.with_(seed=1, train={"epochs": 5})
    assert (after.seed, after.train) == (1, Train(epochs=5, lr=0.1))
    assert before.train.epochs == 3
    assert before.with_(train=Train(epochs=5)).train == Train(epochs=5)
    assert before.data.with_(size=64) == Data(size=64)
