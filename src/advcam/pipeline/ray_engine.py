"""Pieces as tasks of Ray: on the cores or GPUs of this machine, or of a cluster whose nodes see the same folders.

A task whose worker dies is tried once more elsewhere (``max_retries``); one whose node is lost, again and again. Ray on
this machine alone is started and ended here, listens on the loopback only, and sends nothing to anyone.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch

from advcam.errors import RunError, SettingsError
from advcam.pipeline.engines import Build, Died, Kept, Missing, Piece, Result
from advcam.pipeline.parts import Work

LOOPBACK = "127.0.0.1"
# Tries of a piece besides the first, and more of one whose node was lost.
RETRIES, NODES = 1, 10
# Seconds between two looks at how large the cluster is.
LOOK = 5.0


class RayHands:
    """Workers of Ray that pieces are given to.

    Args:
        build: makes the work of a worker; pickled.
        device: "cpu" or "cuda": a task takes one core, or one GPU.
        address: of a cluster; None starts Ray on this machine.
        processes: workers at a time, at most; None takes all that there is room for.

    Raises:
        SettingsError: Ray is not installed.
        RunError: there is no cluster at the address, or no GPU in it.
    """

    knows_who = True

    def __init__(self, build: Build, device: str, address: str | None, processes: int | None) -> None:
        if find_spec("ray") is None:
            raise SettingsError("--engine ray needs the package ray: pip install 'advcam[ray]'")
        # Before the package is read. A busy machine takes its time.
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "300"}
        if address is None:
            # Without clusters Ray knows this machine by its loopback address, and listens there only.
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        import ray

        self.ray, self.device, self.processes = ray, device, processes
        start(address, processes)
        resource = "GPU" if device == "cuda" else "CPU"
        self.resource, self.looked, self.there = resource, 0.0, 0
        if self.workers() == 0:
            raise RunError(f"the cluster at {address or LOOPBACK} has no {resource}: choose another --device")
        self.token, self.build = os.urandom(8).hex(), ray.put(build)
        gpus = 1 if device == "cuda" else 0
        options = {"num_cpus": 0 if gpus else 1, "num_gpus": gpus, "max_retries": RETRIES, "retry_exceptions": False}
        self.task = ray.remote(_task).options(**options)
        self.given: dict[Any, tuple[Piece, Missing, int]] = {}

    def workers(self) -> int:
        """How many there are now: nodes come and go."""
        if time.monotonic() - self.looked > LOOK:
            self.there = int(self.ray.cluster_resources().get(self.resource, 0))
            self.looked = time.monotonic()
        return min(self.there, self.processes or self.there)

    def room(self) -> int:
        return max(1, self.workers()) if self.processes else 2 * max(1, self.workers())

    def give(self, piece: Piece, missing: Missing) -> Any:
        return self._give(piece, missing, 0)

    def _give(self, piece: Piece, missing: Missing, lost: int) -> Any:
        given = self.task.remote(self.token, self.build, self.device, piece.batches, missing)
        self.given[given] = (piece, missing, lost)
        return given

    def take(self, given: Sequence[Any], *, waiting: bool = True) -> dict[Any, Result | Died | Exception]:
        if not given:
            return {}
        finished: list[Any] = []
        if not waiting:
            finished, _ = self.ray.wait(list(given), num_returns=len(given), timeout=0)
        while waiting and not finished:
            # In turns, so that Ctrl-C is heard.
            finished, _ = self.ray.wait(list(given), num_returns=1, timeout=1.0)
        return {one: self._come_of(one) for one in finished}

    def _come_of(self, given: Any) -> Result | Died | Exception:
        errors = self.ray.exceptions
        piece, missing, lost = self.given.pop(given)
        try:
            return self.ray.get(given)
        except (errors.NodeDiedError, errors.ObjectLostError, errors.OwnerDiedError) as error:
            if lost >= NODES:
                return RunError(f"the nodes of the cluster are lost again and again ({type(error).__name__})")
            return self._come_of(self._give(piece, missing, lost + 1))
        except (errors.WorkerCrashedError, errors.OutOfMemoryError):
            return Died(1 + RETRIES)

    def end(self) -> None:
        for given in self.given:
            with suppress(Exception):
                self.ray.cancel(given, force=True)
        self.given.clear()


def start(address: str | None, processes: int | None) -> None:
    """Ray, unless this process has it already."""
    import ray

    if ray.is_initialized():
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    own: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address is None:
        # Of this machine alone: it goes with this process, whatever ends that.
        own |= {
            "num_cpus": processes or torch.get_num_threads(),
            "include_dashboard": False,
            "object_store_memory": 2**28,
            # Workers as nice as this process: Ray would have them yield to everything.
            "_system_config": {"task_oom_retries": RETRIES, "worker_niceness": 0},
        }
    try:
        # A cluster that happens to run here is not asked unless it is named.
        ray.init(address=address or "local", **own)
    # It raises errors of every kind, plain ones too.
    except Exception as error:
        where = f"at {address}" if address else "on this machine"
        raise RunError(f"Ray cannot be reached {where} ({' '.join(str(error).split())[:200]})") from error
    finally:
        # Ray has its own ways to stop; the command line's hold.
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


# -- in a worker -----------------------------------------------------------------------------------------------------

_KEPT: dict[str, Kept] = {}


def _task(token: str, build: Build, device: str, batches: Any, missing: Missing) -> Result | Exception:
    if token not in _KEPT:
        torch.set_num_threads(1)
        _KEPT.clear()
        made: Callable[[], Work] = partial(build, torch.device(device))
        _KEPT[token] = Kept(made)
    try:
        return _KEPT[token].through(batches, missing, 1, device == "cuda")
    except Exception as error:
        # As it is: Ray would wrap it.
        return error
