"""What a file of measurements amounts to: one value, and how it is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from profiling.store import Store

__all__ = ["print_summary", "summarise"]


def summarise(store: Store) -> dict[str, Any]:
    """Figures of all networks of a store, JSON values; it must hold one at least.

    `counters_difference` is the mean difference of the uncorrected counters' sum from the end-to-end latency,
    `unexplained` what the corrected ones leave, both as fractions; `prepare_s` is a median.
    """
    import numpy as np

    from profiling.ceiling import ceiling_of

    records = store.records()
    latencies = [r.latency_us for r in records]
    return {
        "study": store.meta["study"],
        "file": str(store.path),
        "networks": len(records),
        "latency_range_us": [min(latencies), max(latencies)],
        "kernels": sum(len(r.kernels) for r in records),
        "ceiling": ceiling_of(records),
        "flagged_rounds": sum(r.n_flagged for r in records) / max(1, sum(r.n_rounds for r in records)),
        "disturbed_networks": sum(2 * r.n_flagged > r.n_rounds for r in records),
        "counters_difference": float(
            np.mean([r.counters_us / (r.latency_us - r.overhead_us) - 1 for r in records])
        ),
        "unplanned_networks": store.n_unplanned(),
        "unexplained": float(np.mean([r.unexplained_us / r.latency_us for r in records])),
        "prepare_s": float(np.median([r.prepare_s for r in records])),
    }


def print_summary(value: dict[str, Any], out: Console) -> None:
    """Says a value of `summarise`, and warns where its numbers are bad."""
    from profiling.ceiling import noise_note

    fastest, slowest = value["latency_range_us"]
    ceiling = value["ceiling"]
    out.print(
        f"{value['networks']} networks ({fastest / 1e3:.2f} to {slowest / 1e3:.2f} ms), "
        f"{value['kernels']} kernels in {value['file']}"
    )
    found = "too few for a ceiling"
    if ceiling["mape"] is not None:
        found = f"differ by {ceiling['mape']:.2%}, Kendall tau {ceiling['kendall_tau']:.3f}"
    out.print(
        f"ceiling (two processes, {ceiling['networks']} networks): {found}; "
        f"rounds flagged {value['flagged_rounds']:.1%}; "
        f"counters {value['counters_difference']:+.1%} beside end to end, "
        f"{-value['unexplained']:+.1%} once corrected"
    )
    if note := noise_note(ceiling):
        out.print(note, soft_wrap=True)
    if value["disturbed_networks"]:
        out.print(
            f"warning: {value['disturbed_networks']} networks were disturbed in most of their rounds; "
            "what keeps this machine busy: python -m profiling.machine"
        )
    if value["unplanned_networks"]:
        out.print(
            f"warning: {value['unplanned_networks']} networks execute other kernels than planned; what is "
            "predicted of such before they are built would be wrong"
        )
