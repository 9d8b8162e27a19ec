"""Every classification model of torchvision, or a small member of many of timm's families, made elastic, and
proved: a table of what can be chosen, what stays fixed and why, and whether all checks of
`supernet/checks.py` hold.

Neither is a dependency of ovnas, so this needs an environment of its own:

    python3 -m venv zoo
    zoo/bin/pip install torch==2.14.1 torchvision==0.29.1
    zoo/bin/pip install openvino==2026.4.1 nncf==3.4.0 safetensors matplotlib rich timm==1.0.31
    zoo/bin/python benchmarks/zoo_coverage.py
    zoo/bin/python benchmarks/zoo_coverage.py --library timm

Weights are random (BatchNorm statistics are estimated from noise, so that values stay within bounds). Each
model has a process of its own; models that the result file holds already are left out, so that an
interrupted run goes on. After --time-limit no further architecture of a model is begun, but the smallest
and three random ones are always tried; the table says how many were.
"""

from __future__ import annotations

import argparse
import datetime
import fnmatch
import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from results_file import FOLDER, revision

SIDE = 224
# A small member of each of timm's families of convolutional networks, of hybrids, and of some transformers.
OF_TIMM = (
    "bat_resnext26ts", "botnet26t_256", "cait_xxs24_224", "coatnet_nano_rw_224", "convmixer_768_32",
    "convnext_atto", "convnextv2_atto", "crossvit_9_240", "cs3darknet_s", "cspresnet50", "darknet53",
    "densenet121", "dla34", "dpn48b", "eca_nfnet_l0", "ecaresnet26t", "edgenext_xx_small",
    "efficientformer_l1", "efficientformerv2_s0", "efficientnet_lite0", "efficientvit_b0",
    "ese_vovnet19b_dw", "eva02_tiny_patch14_224", "fastvit_t8", "fbnetc_100", "focalnet_tiny_srf",
    "gernet_s", "ghostnet_050", "ghostnetv2_100", "gmlp_s16_224", "halonet26t", "hardcorenas_a",
    "hgnetv2_b0", "hrnet_w18_small", "inception_next_atto", "inception_v4", "lcnet_035",
    "legacy_seresnet18", "levit_128s", "mambaout_femto", "mixer_s32_224", "mixnet_s", "mnasnet_050",
    "mobilenetv3_small_050", "mobilenetv4_conv_small", "mobilenetv4_hybrid_medium", "mobileone_s0",
    "mobilevit_xxs", "mobilevitv2_050", "nf_regnet_b0", "poolformer_s12", "pvt_v2_b0", "regnety_002",
    "regnetz_b16", "repghostnet_050", "repvgg_a0", "repvit_m0_9", "res2net50_14w_8s", "resmlp_12_224",
    "resnest14d", "resnet18", "resnet26d", "resnetv2_50", "rexnet_100", "selecsls42b", "seresnet18",
    "skresnet18", "starnet_s1", "swiftformer_xs", "swin_tiny_patch4_window7_224", "tf_efficientnet_b0",
    "tf_mobilenetv3_small_minimal_100", "tinynet_e", "tresnet_m", "twins_svt_small", "vgg11_bn",
    "visformer_tiny", "vit_tiny_patch16_224", "xception41", "xcit_nano_12_p16_224",
)  # fmt: skip
COLUMNS = (
    "model", "million parameters", "million MACs", "groups", "fixed", "skippable blocks", "elastic kernels",
    "log10 size", "architectures", "checks", "seconds",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", choices=["torchvision", "timm"], default="torchvision")
    parser.add_argument("--models", default="*", help="names or patterns, with commas between them")
    parser.add_argument("-n", type=int, default=10, help="random architectures a model")
    parser.add_argument("--time-limit", type=float, default=600, help="seconds a model; see above")
    parser.add_argument("--again", action="store_true", help="also models that the result file holds")
    parser.add_argument("--failed", action="store_true", help="also models in it whose checks failed")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="the result file")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(_one(arguments.library, arguments.one, arguments.n, arguments.time_limit)))
        return 0
    library = arguments.library
    version = importlib.import_module(library).__version__.partition("+")[0]
    path: Path = arguments.out or FOLDER / f"zoo_coverage-{library}-{version}.json"
    names = _names(library, arguments.models)
    results: dict[str, Any] = json.loads(path.read_text())["models"] if path.is_file() else {}
    for name in names:
        known = results.get(name)
        if known and not arguments.again and not (arguments.failed and known["faults"]):
            continue
        results[name] = {**_in_process(name, arguments), "revision": revision()}
        _write(library, path, results)
        found = results[name]
        print(
            f"{name}: {'; '.join(found['faults'])[:300] or 'all checks hold'} ({found['seconds']:.0f} s)",
            flush=True,
        )
    _write(library, path, results)
    failed = [name for name in names if results[name]["faults"]]
    print(f"{len(names) - len(failed)} of {len(names)} models pass; {path}")
    return 1 if failed else 0


def _names(library: str, patterns: str) -> list[str]:
    if library == "timm":
        known = list(OF_TIMM)
    else:
        from torchvision import models

        known = models.list_models(module=models)
    found = [name for name in known if any(fnmatch.fnmatch(name, p) for p in patterns.split(","))]
    if not found:
        sys.exit(f"error: no model of {library} is named {patterns!r}")
    return found


def _in_process(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    start = time.perf_counter()
    command = [sys.executable, __file__, "--library", arguments.library, "--one", name]
    command += ["-n", str(arguments.n)]
    command += ["--time-limit", str(arguments.time_limit)]
    with tempfile.TemporaryFile("w+") as errors:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True, check=False)
        errors.seek(0)
        last = (errors.read().strip() or f"ended with {done.returncode}").splitlines()[-1]
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    return {"faults": [last], "seconds": time.perf_counter() - start}


def _make(library: str, name: str) -> tuple[Any, tuple[int, ...]]:
    """A model with random weights, and the shape of an image for it."""
    if library == "timm":
        import timm

        model = timm.create_model(name)
        return model.eval(), tuple(model.default_cfg["input_size"])
    from torchvision import models

    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return models.get_model(name, weights=None, **options).eval(), (3, SIDE, SIDE)


def _one(library: str, name: str, n: int, time_limit_s: float) -> dict[str, Any]:
    import torch

    import supernet
    from supernet.batchnorm import reestimate
    from supernet.checks import check
    from supernet.counting import uncounted_macs

    start = time.perf_counter()
    torch.manual_seed(0)
    model, shape = _make(library, name)
    example = torch.randn(1, *shape)
    if any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in model.modules()):
        reestimate(model, torch.randn(2, *shape))
    n_parameters = sum(p.numel() for p in model.parameters())
    with torch.no_grad():
        expected = model(example)
    network = supernet.generate(model, example, supernet.SpaceSection(kernel=(3, 5)))
    del model
    space = network.space
    facts = {
        "n_parameters": n_parameters,
        "side": shape[-1],
        "macs": [space.macs(space.smallest), space.macs(space.largest)],
        "uncounted_macs": uncounted_macs(network, example),
        "n_groups": sum(group.slot is not None for group in space.groups),
        "n_blocks": sum(int(s.choices[-1] - s.choices[0]) for s in space.slots if s.kind == "depth"),
        "n_kernels": sum(slot.kind == "kernel" for slot in space.slots),
        "log10_size": space.log10_size,
        "fixed": [[g.name, g.n_units, g.reason] for g in space.groups if g.slot is None],
        "fixed_kernels": network.fixed_kernels,
        "generate_s": time.perf_counter() - start,
    }
    found = check(network, expected, example, n=n, time_limit_s=time_limit_s)
    return {
        **facts,
        "n_architectures": found.n_architectures,
        "errors": {
            "largest": found.largest_error,
            "shuffled": found.shuffled_error,
            "extracted": found.extracted_error,
            "openvino": found.openvino_error,
        },
        "faults": list(found.faults),
        "seconds": time.perf_counter() - start,
    }


def _write(library: str, path: Path, results: dict[str, Any]) -> None:
    import openvino
    import torch

    from profiling.machine import read_machine
    from supernet.page import Page
    from supernet.whole_files import write_json

    versions = {"torch": torch.__version__, library: importlib.import_module(library).__version__}
    versions["openvino"] = openvino.__version__
    ordered = dict(sorted(results.items()))
    value = {"date": datetime.date.today().isoformat(), "machine": read_machine(), "library": library}
    write_json({**value, "versions": versions, "models": ordered}, path)
    rows = [_row(name, found) for name, found in ordered.items()]
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    passed = sum(not found["faults"] for found in results.values())
    said = f"{passed} of {len(results)} models pass all checks; random weights, " + ", ".join(
        f"{name} {version}" for name, version in versions.items()
    )
    reasons = [[name, *item] for name, found in ordered.items() for item in _reasons(found)]
    text = "\n".join([said + ".", "", *lines, "", "Fixed beside each network's output:", ""])
    text += "\n".join(f"- `{name}`: {count} group(s): {reason}" for name, reason, count in reasons) + "\n"
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    page = Page(f"Super-networks of models of {library}", said)
    page.table(COLUMNS, rows)
    page.heading("Fixed beside each network's output, and why")
    page.table(("model", "why", "groups"), reasons)
    page.write(path.with_suffix(".html"))


def _row(name: str, found: dict[str, Any]) -> list[str]:
    verdict = "pass" if not found["faults"] else found["faults"][0][:160].replace("|", "/")
    if "n_groups" not in found:
        return [name, *[""] * 8, verdict, f"{found['seconds']:.0f}"]
    least, most = found["macs"]
    more = found.get("uncounted_macs")
    return [
        name,
        f"{found['n_parameters'] / 1e6:.1f}",
        f"{least / 1e6:,.0f} to {most / 1e6:,.0f}" + (f" (+{more / 1e6:,.0f})" if more else ""),
        str(found["n_groups"]),
        str(len(found["fixed"])),
        str(found["n_blocks"]),
        str(found["n_kernels"]),
        f"{found['log10_size']:.1f}",
        str(found["n_architectures"]),
        verdict,
        f"{found['seconds']:.0f}",
    ]


def _reasons(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Why groups are fixed, alike operations together, with how many."""
    counts = Counter(
        reason.partition(" (")[0] + reason.partition(")")[2] if " (" in reason else reason
        for _, _, reason in found.get("fixed", [])
        if "the network's output" not in reason
    )
    return [(reason, str(count)) for reason, count in counts.most_common()]


if __name__ == "__main__":
    sys.exit(main())
