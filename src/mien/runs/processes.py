"""The processes that share a run: who is first, and what torchrun or srun started, on how many machines."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from mien.errors import UsageError


@dataclass(frozen=True)
class Launch:
    """What torchrun or srun started, this process one of them.

    processes: over all machines. a_node: on each machine. name: of the job, '' where it has none of its own.
    """

    launcher: str
    processes: int
    a_node: int
    name: str

    @property
    def nodes(self) -> int:
        """How many machines."""
        return self.processes // self.a_node


def is_first_process() -> bool:
    """Of the processes that share a run, the first one makes the folder, evaluates and reports."""
    return rank(os.environ) == 0


def rank(environment: Mapping[str, str]) -> int:
    """Which of several processes this is, from 0; a RANK that an earlier job left behind, alone, counts for nothing."""
    if _is_torchrun(environment) or int(environment.get("WORLD_SIZE", "1")) > 1:
        return int(environment.get("RANK", environment.get("LOCAL_RANK", "0")))
    return int(environment.get("SLURM_PROCID", "0")) if _slurm_tasks(environment) > 1 else 0


def launched(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """What torchrun or srun started; None where neither did. Raises UsageError where its machines are not alike."""
    if _is_torchrun(environment):
        processes = int(environment.get("WORLD_SIZE", "1"))
        a_node, name = int(environment.get("LOCAL_WORLD_SIZE", processes)), environment["TORCHELASTIC_RUN_ID"]
        found = Launch("torchrun", processes, a_node, "" if name == "none" else name)
    elif (processes := _slurm_tasks(environment)) > 1:
        if "SLURM_NTASKS_PER_NODE" not in environment:
            raise UsageError(
                f"srun started {processes} tasks, and SLURM_NTASKS_PER_NODE is not set. Give sbatch or srun the tasks "
                "of each node (ntasks-per-node) in place of all tasks (ntasks)."
            )
        a_node = int(environment["SLURM_NTASKS_PER_NODE"])
        found = Launch("srun", processes, a_node, environment.get("SLURM_JOB_ID", ""))
    else:
        return None
    if found.processes % found.a_node:
        raise UsageError(
            f"{found.launcher} started {found.processes} processes, {found.a_node} of them on this machine: every "
            "machine needs as many as the others."
        )
    return found


def _is_torchrun(environment: Mapping[str, str]) -> bool:
    return "TORCHELASTIC_RUN_ID" in environment


def _slurm_tasks(environment: Mapping[str, str]) -> int:
    return int(environment.get("SLURM_NTASKS", "1")) if "SLURM_STEP_ID" in environment else 1
