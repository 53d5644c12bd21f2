"""`mien quickstart` stopped in its second step and begun again; with tiny recipes."""

from mien.cli import main
from mien.config import Data, Model, Recipe, Train
from mien.recipes import quickstart
from mien.train import run

CNN = Recipe(
    name="quickstart-cnn",
    data=Data(source="drawn_faces", images=70, size=16),
    model=Model(name="cnn_v2", widths=(4, 8)),
    train=Train(epochs=1, batch_size=14, precision="fp32"),
)


def test_a_stopped_quickstart_goes_on_to_its_page(tmp_path, tmp_path_factory, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setattr(quickstart, "recipe", CNN)
    monkeypatch.setattr(quickstart, "vit", CNN.model_copy(update={"name": "quickstart-vit"}))
    trained, train = [], run.run

    def stopped_in_the_second(recipe, out):
        trained.append(recipe.name)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train(recipe, out)

    monkeypatch.setattr(run, "run", stopped_in_the_second)
    assert main(["quickstart", "--out", "here"]) == 130
    err = capsys.readouterr().err
    assert err.startswith("Three steps: ")
    assert "their comparison from there: mien quickstart --out here" in err
    assert main(["quickstart", "--out", "here"]) == 0
    assert trained == ["quickstart-cnn", "quickstart-vit", "quickstart-vit"]
    assert "Step 1 of 3: quickstart-cnn, which has finished already" in capsys.readouterr().err
    assert len(list((tmp_path / "here").iterdir())) == 3  # two runs and one page
