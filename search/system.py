"""The system under test: a compiled network that answers queries for samples in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from search.scenario import Arrangement

if TYPE_CHECKING:
    import openvino as ov

__all__ = ["System"]

Block = NDArray[np.float32]
Answer = Callable[[Sequence[int], Block], None]


class System:
    """Answers each sample with its class, one float32, as the submissions to MLPerf do.

    `answer` gets the ids of a batch and their classes, shape (n,), from whichever thread ends it. Samples
    are read where they lie, without a copy, if those of a batch lie side by side: LoadGen asks so, Offline
    and in MultiStream.
    """

    def __init__(self, compiled: ov.CompiledModel, arrangement: Arrangement, answer: Answer) -> None:
        import openvino as ov

        self.batch, self._answer = arrangement.batch, answer
        self._indices: list[int] = []
        self._places: dict[int, int] = {}
        self._samples: Block = np.empty(0, dtype=np.float32)
        self._tensors: dict[int, Any] = {}
        self._request: Any = None
        self._queue: Any = None
        if arrangement.requests == 1:  # one at a time: the calling thread need not wait for another
            self._request = compiled.create_infer_request()
        else:
            self._queue = ov.AsyncInferQueue(compiled, arrangement.requests)
            self._queue.set_callback(self._done)

    def load(self, samples: Block, indices: Sequence[int]) -> None:
        """Takes `samples`, shape (n, C, H, W), which are those that LoadGen calls `indices`."""
        self._samples = np.ascontiguousarray(samples, dtype=np.float32)
        self._indices = list(indices)
        # The first place counts: for MultiStream LoadGen repeats its first samples behind the last one.
        self._places = {index: place for place, index in reversed(list(enumerate(indices)))}
        self._tensors = {}

    def issue(self, queries: Sequence[tuple[int, int]]) -> None:
        """Starts on samples given by id and index; waits only while all requests are busy."""
        for start in range(0, len(queries), self.batch):
            chunk = queries[start : start + self.batch]
            ids = [one for one, _ in chunk]
            tensor = self._tensor([index for _, index in chunk])
            if self._queue is None:
                self._request.set_input_tensor(0, tensor)
                self._request.infer()
                self._done(self._request, ids)
            else:
                self._queue.start_async({0: tensor}, ids, share_inputs=True)

    def wait(self) -> None:
        """Until everything is answered."""
        if self._queue is not None:
            self._queue.wait_all()

    def _tensor(self, wanted: list[int]) -> Any:
        """The input of a batch; a last partial one is filled up with its first sample."""
        import openvino as ov

        first = self._places[wanted[0]]
        if len(wanted) == self.batch and self._indices[first : first + self.batch] == wanted:
            if first not in self._tensors:
                view = self._samples[first : first + self.batch]
                self._tensors[first] = ov.Tensor(view, shared_memory=True)
            return self._tensors[first]
        places = [self._places[index] for index in wanted]
        return ov.Tensor(self._samples[places + [first] * (self.batch - len(places))])

    def _done(self, request: Any, ids: list[int]) -> None:
        scores = request.get_output_tensor(0).data
        classes = scores.reshape(self.batch, -1)[: len(ids)].argmax(axis=1).astype(np.float32)
        self._answer(ids, classes)  # `classes` lives until it returns
