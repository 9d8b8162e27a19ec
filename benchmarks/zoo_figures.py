"""What results/ say of the models of libraries, in Markdown."""

from __future__ import annotations

from typing import Any

from results_file import link

__all__ = ["models_tried", "zoo_coverage"]


def models_tried(value: dict[str, Any]) -> str:
    """The models of a result, in words."""
    library = value.get("library", "torchvision")
    version = value["versions"][library].partition("+")[0]
    if library == "timm":
        return f"timm {version} (a small member of many families)"
    return f"torchvision {version} (classification)"


def zoo_coverage(value: dict[str, Any], name: str) -> str:
    """How many models pass, over how many architectures; those that do not, by name."""
    models: dict[str, dict[str, Any]] = value["models"]
    passed = {model: found for model, found in models.items() if not found["faults"]}
    counts = sorted(found["n_architectures"] for found in passed.values())
    sizes = sorted(found["log10_size"] for found in passed.values())
    blocks = sum(found["n_blocks"] > 0 for found in passed.values())
    lines = [
        f"{len(passed)} of {len(models)} models of {models_tried(value)} that were tried "
        f"become super-networks that pass all checks (random weights; {counts[0]} to "
        f"{counts[-1]} architectures each, {sum(counts):,} in all): the largest computes what the model "
        "does, extracted ones what activated ones do (1e-5; in OpenVINO 1e-3), with as many MACs as the "
        "space says. "
        f"{blocks} have blocks to drop; spaces hold 10^{sizes[0]:.1f} to 10^{sizes[-1]:.1f} architectures "
        f"([table](benchmarks/results/{name.removesuffix('json')}md), {link(name)})."
    ]
    failed = {model: found["faults"][0] for model, found in models.items() if found["faults"]}
    if failed:
        lines += ["", *(f"- `{model}`: {fault}" for model, fault in failed.items())]
    return "\n".join(lines)
