"""All kernels of all networks as one flat table, for other tools: CSV or Parquet."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profiling.record import NetworkRecord
from supernet.errors import OvnasError
from supernet.replacing import replacing

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMATS", "kernel_table", "write_table"]


def kernel_table(records: Sequence[NetworkRecord], meta: dict[str, Any]) -> pd.DataFrame:
    """A row a kernel, in the order of measurement and execution, with its network's columns repeated.

    The columns from `architecture` on are the network's, from `position` on the kernel's; `repeat_us` is
    empty for a network that was not repeated. `macs` is a kernel's of the whole batch.
    """
    import pandas as pd

    conditions = {
        "study": meta["study"],
        "cpu_model": meta["machine"]["cpu_model"],
        "openvino": meta["machine"]["openvino"],
        **{name: meta["target"][name] for name in ("mode", "threads", "streams")},
    }
    return pd.DataFrame.from_records(
        [
            {
                **conditions,
                "architecture": str(record.architecture),
                "chosen_as": record.chosen_as,
                "network_macs_per_sample": record.macs,
                "latency_us": record.latency_us,
                "repeat_us": record.repeat_us,
                "overhead_us": record.overhead_us,
                "unexplained_us": record.unexplained_us,
                "n_flagged": record.n_flagged,
                "n_rounds": record.n_rounds,
                "position": position,
                "layer": item.layer,
                "name": item.name,
                "exec_type": item.exec_type,
                "in_layout": item.in_layout,
                "layout": item.layout,
                "originals": ",".join(item.originals),
                "counter_us": item.counter_us,
                "time_us": item.time_us,
                "macs": item.kernel.macs,
                **asdict(item.kernel),
            }
            for record in records
            for position, item in enumerate(record.kernels)
        ]
    )


def write_table(table: pd.DataFrame, path: Path, kind: str) -> None:
    """Writes the table whole or not at all, in one of FORMATS.

    Raises OvnasError if there is something else than a table of this kind at `path`, or a library is
    missing.
    """
    write, is_ours = FORMATS[kind]
    if path.exists() and not (path.is_file() and is_ours(path, table)):
        raise OvnasError(f"{path} exists and is no {kind} export of kernels; give another file with --to")
    with replacing(path) as (partial,):
        write(table, partial)


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False)


def _write_parquet(table: pd.DataFrame, path: Path) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise OvnasError("--export parquet needs pyarrow: pip install pyarrow, or take --export csv")
    table.to_parquet(path, engine="pyarrow", index=False)


def _is_csv(path: Path, table: pd.DataFrame) -> bool:
    """Whether its first line names the table's first columns: an older release may have had fewer."""
    expected = ",".join(table.columns[:3]).encode()
    with path.open("rb") as file:
        return file.read(len(expected)) == expected


def _is_parquet(path: Path, table: pd.DataFrame) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


Format = tuple[Callable[["pd.DataFrame", Path], None], Callable[[Path, "pd.DataFrame"], bool]]

FORMATS: dict[str, Format] = {
    "csv": (_write_csv, _is_csv),
    "parquet": (_write_parquet, _is_parquet),
}
"""How a format is written, and how a file of it is told."""
