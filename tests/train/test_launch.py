"""What torchrun and srun say to a run: how many processes share it, where it lies, when it goes on."""

import pytest

from mien.config import Data, Model, Recipe, Train
from mien.errors import UsageError
from mien.runs import read_recipe
from mien.runs.processes import Launch, is_first_process, launched
from mien.runs.writing import FOLDER_VARIABLE, new_folder
from mien.train import launch, run

RECIPE = Recipe(
    name="tiny",
    data=Data(source="drawn_faces", images=70, size=16),
    model=Model(name="lenet"),
    train=Train(epochs=1, batch_size=36, precision="fp32"),
)
TORCHRUN = {"TORCHELASTIC_RUN_ID": "a/job", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "RANK": "3", "LOCAL_RANK": "1"}
SRUN = {
    **{"SLURM_STEP_ID": "0", "SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2", "SLURM_JOB_ID": "4711"},
    **{"SLURM_PROCID": "0"},
}


@pytest.fixture
def by(monkeypatch):
    def set_(variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_


def test_what_launchers_say():
    assert launched({}) is None
    assert launched({"SLURM_NTASKS": "4"}) is None, "a batch script, not under srun"
    assert launched(TORCHRUN) == Launch("torchrun", 4, 2, "a/job")
    assert launched({**TORCHRUN, "TORCHELASTIC_RUN_ID": "none"}).name == ""
    assert launched(SRUN) == Launch("srun", 4, 2, "4711")
    assert launched(SRUN).nodes == launched(TORCHRUN).nodes == 2
    assert launched({**SRUN, **TORCHRUN}).launcher == "torchrun", "one torchrun on each machine, started by srun"


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({**TORCHRUN, "LOCAL_WORLD_SIZE": "3"}, "torchrun started 4 processes, 3 of them on this machine"),
        ({key: value for key, value in SRUN.items() if "PER_NODE" not in key}, "SLURM_NTASKS_PER_NODE is not set"),
    ],
)
def test_launches_that_cannot_share_a_run(variables, text):
    with pytest.raises(UsageError, match=text):
        launched(variables)


def test_others_write_where_they_are_told_not_where_an_earlier_run_of_the_process_lies(by, tmp_path):
    by({**TORCHRUN, FOLDER_VARIABLE: str(tmp_path / "earlier")})
    assert new_folder(RECIPE, tmp_path / "told", overwrite=False) == tmp_path / "told"
    assert new_folder(RECIPE, None, overwrite=False) == tmp_path / "earlier", "which the first process has named"


def test_the_launcher_decides_how_many_processes_there_are(by):
    assert launch.shared(RECIPE) == RECIPE
    by(TORCHRUN)
    assert not is_first_process()
    assert launch.shared(RECIPE).train.processes == 4
    two = RECIPE.with_(train={"processes": 2})
    with pytest.raises(UsageError, match=r"torchrun started 4 processes, and `train\.processes` is 2\. Leave"):
        launch.shared(two)
    assert launch.shared(two, goes_on=True).train.processes == 4, "a run may go on with others"
    with pytest.raises(UsageError, match=r"cannot be shared equally by train\.processes 4"):
        launch.shared(RECIPE.with_(train={"batch_size": 35}))


def test_a_job_has_one_folder_that_is_not_overwritten(by, tmp_path):
    assert launch.place(RECIPE, None, overwrite=False) is None
    assert launch.place(RECIPE, tmp_path, overwrite=True) == tmp_path
    by(TORCHRUN)
    assert str(launch.place(RECIPE, None, overwrite=False)) == "runs/tiny-a-job-0"
    assert launch.place(RECIPE, tmp_path, overwrite=False) == tmp_path
    with pytest.raises(UsageError, match=r"^`overwrite` and torchrun: each time it starts the processes again"):
        launch.place(RECIPE, tmp_path, overwrite=True)


def test_the_same_command_goes_on_and_another_one_is_refused(by, tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    folder = run.run(RECIPE, tmp_path / "run")
    by({**TORCHRUN, "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"})
    monkeypatch.setattr(run, "resume", lambda folder, watch: ("went on", folder))
    assert run.run(RECIPE, folder) == ("went on", folder)
    with pytest.raises(UsageError, match=r"run exists\. Choose another `out`"):
        run.run(RECIPE.with_(seed=1), folder)
    assert read_recipe(folder) == RECIPE
