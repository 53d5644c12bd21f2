"""Two nodes of one cluster, by Ray's own utility for tests: `--on ray:ADDRESS` with a worker and a driver killed."""

import os
import signal
import subprocess
import sys
import time

import pyarrow
import pytest
from crop_sources import faces, write_table
from pyarrow import parquet

import mien

DIFFERENT, TIMES, GROUP = 64, 32, 256  # pictures, how often each is in the table, and rows of a part
ROWS = DIFFERENT * TIMES


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The address of a cluster of two nodes with a core each."""
    pytest.importorskip("ray", reason="ray is not installed: pip install 'mien[scale]', see .ci/run")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        node = {"num_cpus": 1, "object_store_memory": 100_000_000}
        cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        cluster.add_node(**node)
        yield cluster.address
        cluster.shutdown()


def mien_(*words):
    return subprocess.Popen([sys.executable, "-m", "mien", *map(str, words)], stdout=subprocess.PIPE, text=True)


def plain_rows(contents, folder):
    """What plain predict makes of pictures: one row each."""
    (folder / "pictures").mkdir()
    for number, content in enumerate(contents):
        (folder / "pictures" / f"{number:03}.png").write_bytes(content)
    mien.load("mien:tiny", threads=1).read_folder(folder / "pictures", out=folder / "plain.parquet", detect=False)
    return parquet.read_table(folder / "plain.parquet").drop_columns(["source"])


def test_two_nodes_give_the_rows_of_plain_predict_whoever_is_killed(address, processes, tmp_path):
    contents = faces(DIFFERENT)
    write_table(tmp_path / "many.parquet", contents * TIMES, rows=GROUP)
    out, before = tmp_path / "out", set(processes("MapWorker"))
    words = ["predict", tmp_path / "many.parquet", "--out", out, "--model", "mien:tiny", "--no-detect"]
    words += ["--on", f"ray:{address}", "--workers", "2"]
    driver = mien_(*words)

    def wait_for(parts):
        while len(list(out.glob("faces/part-*"))) < parts:
            assert driver.poll() is None
            time.sleep(0.02)
        return set(processes("MapWorker")) - before

    workers = wait_for(1)
    assert len(workers) <= 2  # a core each, and a node has one
    os.kill(workers.pop(), signal.SIGKILL)
    wait_for(4)
    driver.kill()
    driver.communicate()
    driver = mien_(*words)
    said, _ = driver.communicate()
    assert driver.returncode == 0
    assert f"parts of {ROWS // GROUP} had been written before" in said
    table = parquet.read_table(out / "faces")
    rows = [int(name.rpartition(" row ")[2]) for name in table["source"].to_pylist()]
    assert sorted(rows) == list(range(1, ROWS + 1))
    answers = table.drop_columns(["source"]).take(sorted(range(ROWS), key=rows.__getitem__))
    assert answers.equals(pyarrow.concat_tables([plain_rows(contents, tmp_path)] * TIMES))
