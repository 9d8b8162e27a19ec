"""MLPerf Inference's four scenarios, and how a network is arranged on this machine for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from profiling.target import Target

__all__ = ["SCENARIOS", "Arrangement", "Scenario", "candidates"]

SERVER_BOUND_MS = 15.0
SAMPLES_OF_MULTISTREAM = 8
# What LoadGen's early stopping asks for at least: its 99th percentile needs 459 queries without and 662
# with one that is too slow, its 90th 64.
_P99_QUERIES, _P90_QUERIES = 662, 64


@dataclass(frozen=True)
class Scenario:
    """`loadgen` is LoadGen's own name, `metric` what its headline counts, `quick_queries` how few queries a
    quick run may have."""

    name: str
    loadgen: str
    metric: str
    samples_per_query: int
    quick_queries: int


SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        s.name: s
        for s in (
            Scenario("offline", "Offline", "samples/s", 1, 1),
            Scenario("server", "Server", "samples/s", 1, _P99_QUERIES),
            Scenario("singlestream", "SingleStream", "90th percentile, ms", 1, _P90_QUERIES),
            Scenario(
                "multistream", "MultiStream", "99th percentile, ms", SAMPLES_OF_MULTISTREAM,
                _P99_QUERIES,
            ),
        )
    }
)  # fmt: skip


@dataclass(frozen=True)
class Arrangement:
    """`requests` are in flight at most, of `batch` samples each, on `streams` that share the `threads`."""

    threads: int
    streams: int
    batch: int
    requests: int

    def target(self) -> Target:
        """As `profiling.target.compile_model` takes it."""
        return {
            "mode": "throughput" if self.streams > 1 else "latency",
            "threads": self.threads,
            "streams": self.streams,
            "batch": self.batch,
        }

    def to_json(self) -> dict[str, int]:
        """A JSON value of the fields."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.threads} thread(s), {self.streams} stream(s), batch {self.batch}, "
            f"{self.requests} request(s)"
        )


def candidates(scenario: Scenario, threads: int) -> list[Arrangement]:
    """The arrangements worth a trial, without those that are equal.

    As in Intel's submission to MLPerf v2.0: Offline a thread a stream and twice as many requests, Server
    some threads a stream and as many requests as streams.
    """
    if scenario.name == "offline":
        found = [Arrangement(threads, threads, batch, 2 * threads) for batch in (1, 2, 4)]
    elif scenario.name == "server":
        streams = sorted({n for n in (1, threads // 4, threads // 2, threads) if n >= 1})
        found = [Arrangement(threads, n, 1, n) for n in streams]
    elif scenario.name == "singlestream":
        found = [Arrangement(n, 1, 1, 1) for n in (threads, 1)]
    else:
        n = SAMPLES_OF_MULTISTREAM
        found = [
            Arrangement(threads, 1, n, 1),
            *(Arrangement(threads, s, -(-n // s), s) for s in {min(threads, n)}),
        ]
    return list(dict.fromkeys(found))
