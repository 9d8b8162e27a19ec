"""What results/ say of training super-networks, in Markdown; `value` is a file's, `name` the file's own."""

from __future__ import annotations

from typing import Any

from results_file import link, order_note, recipe_note

__all__ = ["accuracies", "alone", "given", "strategies"]

Accuracy = dict[str, float]


def accuracies(value: dict[str, Any], name: str) -> str:
    """Both ends of the space, the best small sub-network, and what re-estimated statistics are worth."""
    found = value["accuracy"]
    largest = found["largest"]["macs"]
    lines = [
        f"The super-network of `{value['study']}`{recipe_note(value)}{order_note(name)}: FP32 accuracy on "
        f"{value['n_images']['test']:,} test images, BatchNorm statistics re-estimated on "
        f"{value['batchnorm_samples']} images or not, in "
        f"brackets on validation images ({link(name)}):",
        "",
        "| network | MACs | accuracy | without re-estimation |",
        "|---|---|---|---|",
        f"| pre-trained | 100% | {_both(found['pretrained'])} | |",
    ]
    rows = {
        "largest": found["largest"],
        "smallest": found["smallest"],
        f"best of {value['n_small_judged']} of a quarter of the MACs": found.get("best_small"),
    }
    rows |= {f"random {i}": one for i, one in enumerate(found["random"], start=1)}
    lines += [
        f"| {label} | {one['macs'] / largest:.0%} | {_both(one)} | {_both(one['without_reestimation'])} |"
        for label, one in rows.items()
        if one
    ]
    return "\n".join(lines)


def given(value: dict[str, Any], name: str) -> str:
    """A file of pre-trained weights."""
    images, minutes = value["n_images"], value["training_seconds"] / 60
    return (
        f"`benchmarks/weights/{value['weights']}`, for `supernet.train --study {value['study']} --weights`: "
        f"pre-trained by its recipe for {value['epochs']} epochs ({minutes:.0f} minutes beside other work), "
        "FP32 accuracy "
        f"{_both(value['accuracy'])} on {images['test']:,} test images, in brackets on "
        f"{images['validation']:,} validation images ({link(name)})."
    )


def alone(value: dict[str, Any], name: str) -> str:
    """The same architectures from the super-network and trained alone."""
    lines = [
        f"Sub-networks of `{value['study']}` straight from the super-network{recipe_note(value)}, and "
        f"trained alone for as many epochs ({value['epochs']}): test accuracy, in brackets on validation "
        f"images ({link(name)}):",
        "",
        "| million MACs | from the super-network | alone |",
        "|---|---|---|",
    ]
    lines += [
        f"| {one['macs'] / 1e6:.1f} | {_both(one['supernet'])} | {_both(one['alone'])} |"
        for one in value["rows"]
    ]
    missing = value.get("architectures", len(value["rows"])) - len(value["rows"])
    if missing:
        lines += ["", f"Not trained yet: {missing} of {value['architectures']}."]
    return "\n".join(lines)


def strategies(value: dict[str, Any], name: str) -> str:
    """Ways to train a super-network, for equal time."""
    lines = [
        f"Ways to train the super-network of `{value['study']}` for {value['minutes']:g} minutes each, from "
        f"the pre-trained model ({_both(value['pretrained'])}): test accuracy, in brackets on validation "
        f"images ({link(name)}):",
        "",
        f"| strategy | epochs | largest | smallest | mean of {value['n_random_judged']} random |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {one['strategy']} | {one['epochs']} | {_both(one['largest'])} | {_both(one['smallest'])} | "
        f"{_both(one['mean_of_random'])} |"
        for one in value["rows"]
    ]
    return "\n".join(lines)


def _both(accuracy: Accuracy) -> str:
    return f"{accuracy['test']:.2%} ({accuracy['validation']:.2%})"
