"""The child process of `search.loadgen`: reads one test from its standard input, and runs it.

It ends at once when its standard input does, so it never outlives its parent.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from search.loadgen import RESULT, SETTINGS, Test, Trial
from search.scenario import Arrangement
from supernet.errors import OvnasError

if TYPE_CHECKING:
    import numpy as np
    import openvino as ov
    from numpy.typing import NDArray

    Block = NDArray[np.float32]

TRIAL_S, TRIAL_QUERIES = 1.0, 12
LOADGEN_MODEL = "resnet50"  # whose rules hold: 15 ms, 1,024 samples, 24,576 samples Offline


def main() -> int:
    line = sys.stdin.readline()
    if not line:
        return 2
    threading.Thread(target=_watch_parent, daemon=True).start()
    test = Test.from_json(json.loads(line))
    try:
        value = _MODES[test.mode](test)
    except OvnasError as error:
        print(f"error: {error}", flush=True)
        return 2
    partial = test.folder / f"{RESULT}.partial"
    partial.write_text(json.dumps(value) + "\n", encoding="utf-8")
    partial.rename(test.folder / RESULT)
    return 0


def _watch_parent() -> None:
    while sys.stdin.read(1):
        pass
    os._exit(1)


def _read_model(test: Test) -> ov.Model:
    from profiling.target import core

    try:
        model = core().read_model(test.model)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise OvnasError(f"{test.model} cannot be read as an OpenVINO model: {reason}") from None
    if len(model.inputs) != 1 or model.inputs[0].partial_shape.is_dynamic:
        raise OvnasError(f"{test.model} must have one input of a static shape")
    return model


def _compile(test: Test, arrangement: Arrangement) -> ov.CompiledModel | None:
    """None if the model cannot be reshaped to the arrangement's batch."""
    from profiling.target import compile_model

    model = _read_model(test)
    shape = list(model.inputs[0].shape)
    if shape[0] != arrangement.batch:
        try:
            model.reshape([arrangement.batch, *shape[1:]])
        except RuntimeError:
            return None
        if any(list(port.shape)[:1] != [arrangement.batch] for port in model.outputs):
            return None
    return compile_model(model, arrangement.target())


def _noise(test: Test, n: int) -> Block:
    import numpy as np

    shape = list(_read_model(test).inputs[0].shape)[1:]
    return np.random.default_rng(0).standard_normal((n, *shape), dtype=np.float32)


def trial(test: Test) -> dict[str, Any]:
    """Each arrangement that the model can be compiled for, for a moment, with the scenario's queries."""
    samples = _noise(test, 2 * max(a.batch for a in test.trials))
    found = []
    for arrangement in test.trials:
        compiled = _compile(test, arrangement)
        if compiled is not None:
            one = _try(compiled, arrangement, samples, test.rules.samples_per_query)
            found.append({**vars(one), "arrangement": arrangement.to_json()})
    if not found:
        raise OvnasError(f"{test.model} cannot be reshaped to any of the batches tried; export it again")
    return {"trials": found}


def _try(compiled: ov.CompiledModel, arrangement: Arrangement, samples: Block, per_query: int) -> Trial:
    import numpy as np

    from search.system import System

    n_answered = 0

    def answer(ids: Sequence[int], classes: Block) -> None:
        nonlocal n_answered
        n_answered += len(ids)

    system = System(compiled, arrangement, answer)
    system.load(samples, range(len(samples)))
    query = [(i, i % len(samples)) for i in range(max(per_query, 1))]
    system.issue(query)
    system.wait()
    times: list[float] = []
    end = time.perf_counter() + TRIAL_S
    while len(times) < 3 or (len(times) < TRIAL_QUERIES and time.perf_counter() < end):
        start = time.perf_counter()
        system.issue(query)
        system.wait()
        times.append(time.perf_counter() - start)
    chunk = [(i, i % len(samples)) for i in range(arrangement.batch)]
    n_answered, start = 0, time.perf_counter()
    n_chunks = 0
    while n_chunks < 2 * arrangement.requests or time.perf_counter() < start + TRIAL_S:
        system.issue(chunk)
        n_chunks += 1
    system.wait()
    rate = n_answered / (time.perf_counter() - start)
    return Trial(arrangement, rate, 1e3 * float(np.median(times)))


def performance(test: Test) -> dict[str, Any]:
    """A PerformanceOnly test on random samples, whose values do not change what is computed."""
    return _test(test, functools.partial(_random_block, test), n_samples=0)


def _random_block(test: Test, indices: Sequence[int]) -> Block:
    return _noise(test, len(indices))


def accuracy(test: Test) -> dict[str, Any]:
    """An AccuracyOnly test on all of the study's test split."""
    import torch

    from supernet.data import load_splits
    from supernet.resized import ResizedImages
    from supernet.study import Study

    study = Study.load(test.study)
    expected = list(_read_model(test).inputs[0].shape)[1:]
    smaller = [[study.model.input_shape[0], side, side] for side in study.space.resolution]
    if expected not in (list(study.model.input_shape), *smaller):
        raise OvnasError(
            f"study {study.name!r} has inputs of shape {list(study.model.input_shape)}, but "
            f"{test.model} takes {expected}"
        )
    images: Any = load_splits(study).test
    if expected in smaller:
        images = ResizedImages(images, expected[-1])

    def block(indices: Sequence[int]) -> Block:
        return torch.stack([images[i][0] for i in indices]).numpy()

    return _test(test, block, n_samples=len(images))


def _test(test: Test, block: Callable[[Sequence[int]], Block], *, n_samples: int) -> dict[str, Any]:
    import mlperf_loadgen as lg

    from profiling.properties import effective_properties
    from search.system import System

    settings = lg.TestSettings()
    settings.FromConfig(str(test.folder / SETTINGS), LOADGEN_MODEL, test.rules.loadgen)
    settings.scenario = getattr(lg.TestScenario, test.rules.loadgen)
    is_accuracy = test.mode == "accuracy"
    settings.mode = lg.TestMode.AccuracyOnly if is_accuracy else lg.TestMode.PerformanceOnly
    in_memory = int(settings.performance_sample_count_override)
    if is_accuracy:
        in_memory = min(n_samples, in_memory)
        settings.performance_sample_count_override = in_memory
    compiled = _compile(test, test.arrangement)
    if compiled is None:
        raise OvnasError(f"{test.model} cannot be reshaped to a batch of {test.arrangement.batch}")

    def answer(ids: Sequence[int], classes: Block) -> None:
        size, start = classes.itemsize, classes.ctypes.data
        with _fatal():
            lg.QuerySamplesComplete(
                [lg.QuerySampleResponse(one, start + i * size, size) for i, one in enumerate(ids)]
            )

    system = System(compiled, test.arrangement, answer)
    _warm_up(compiled, test.arrangement)

    def issue(queries: Sequence[Any]) -> None:
        with _fatal():
            system.issue([(q.id, q.index) for q in queries])

    def load(indices: Sequence[int]) -> None:
        with _fatal():
            system.load(block(indices), indices)

    sut = lg.ConstructSUT(issue, lambda: None)
    qsl = lg.ConstructQSL(n_samples or in_memory, in_memory, load, lambda indices: None)
    log = lg.LogSettings()
    log.enable_trace = False
    output = lg.LogOutputSettings()
    output.outdir = str(test.folder)
    output.copy_summary_to_stdout = False
    log.log_output = output
    try:
        lg.StartTestWithLogSettings(sut, qsl, settings, log, str(test.folder / "audit.config"))
        system.wait()
    finally:
        lg.DestroyQSL(qsl)
        lg.DestroySUT(sut)
    return {"n_samples": n_samples, "properties": effective_properties(compiled)}


def _warm_up(compiled: ov.CompiledModel, arrangement: Arrangement) -> None:
    import numpy as np

    from search.system import System

    n = arrangement.batch
    system = System(compiled, arrangement, lambda ids, classes: None)
    shape = tuple(compiled.inputs[0].shape)
    system.load(np.zeros(shape, dtype=np.float32), range(n))
    for _ in range(2 * arrangement.requests):
        system.issue([(i, i) for i in range(n)])
    system.wait()


@contextlib.contextmanager
def _fatal() -> Any:
    """An exception cannot pass through LoadGen: it is printed, and ends the process."""
    try:
        yield
    except BaseException as error:
        traceback.print_exc()
        print(f"error: {' '.join(str(error).split()) or type(error).__name__}", flush=True)
        os._exit(3)


_MODES: dict[str, Callable[[Test], dict[str, Any]]] = {
    "performance": performance,
    "accuracy": accuracy,
    "trial": trial,
}

if __name__ == "__main__":
    sys.exit(main())
