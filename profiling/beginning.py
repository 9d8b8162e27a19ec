"""What a collection begins with: this machine's fitness, the bench, and what its rows must agree in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supernet.study import Study

if TYPE_CHECKING:
    from rich.console import Console

    from profiling.fitness import Finding
    from profiling.preparation import Bench

__all__ = ["set_up", "warn_of_unfit"]


def warn_of_unfit(study: Study, out: Console) -> list[Finding]:
    """Prints what makes this machine unfit for measuring, with the remedy; to be called before any work, for
    that would be found too."""
    from profiling.activity import read_activity
    from profiling.fitness import find_unfit
    from profiling.machine import read_machine, read_target

    facts = {**read_activity(), **read_machine()}
    found = [f for f in find_unfit(facts, read_target(study.target)["threads"]) if f.severity == "warning"]
    for finding in found:
        out.print(f"warning: {finding.what}; remedy: {finding.remedy}", soft_wrap=True)
    return found


def set_up(study: Study, out: Console, *, is_new: bool) -> tuple[Bench, dict[str, Any]]:
    """The bench for this machine, and what the store must agree with; for a new store, all it begins
    with."""
    from profiling.machine import read_machine, read_target
    from profiling.peak import measure_peak
    from profiling.preparation import Bench, measure_overhead_us
    from profiling.properties import effective_properties, tiny_model
    from profiling.target import compile_model
    from supernet.study_model import make_graphs

    machine, target = read_machine(), read_target(study.target)
    with out.status("converting and quantising the maximal network"):
        bench = Bench(make_graphs(study, batch=target["batch"]), target)
    meta: dict[str, Any] = {
        "study": study.name,
        "machine": machine,
        "properties": effective_properties(compile_model(tiny_model(), target)),
        "target": target,
        "plan": bench.plan.to_json(),
    }
    if is_new:
        meta |= {"peak": measure_peak(target), "overhead_us": measure_overhead_us(target)}
    return bench, meta
