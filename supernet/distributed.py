"""Several processes that train one module on parts of the same batches (`torchrun`)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["ALONE", "World", "joined_world"]


@dataclass(frozen=True)
class World:
    """This process's place among `size` processes; one alone needs no communication."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def part(self, n: int) -> slice:
        """This process's part of `n` items; all parts are of one size if `n` is a multiple of it."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replaces floating tensors by their mean over all processes, in one message."""
        chosen = [t for t in tensors if t.is_floating_point()]
        if self.size == 1 or not chosen:
            return
        flat = torch.cat([t.detach().reshape(-1).float() for t in chosen])
        dist.all_reduce(flat)
        flat /= self.size
        start = 0
        for tensor in chosen:
            tensor.detach().copy_(flat[start : start + tensor.numel()].view(tensor.shape))
            start += tensor.numel()

    def agree(self, value: object) -> object:
        """The first process's value, in all."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]


ALONE = World()


@contextmanager
def joined_world() -> Iterator[World]:
    """The processes that `torchrun` has started, or this one alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    dist.init_process_group()  # gloo for tensors on the CPU, nccl for those on CUDA
    try:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        yield World(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
