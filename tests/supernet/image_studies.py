"""Studies with images, and a folder of some."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from PIL import Image

from supernet import Study
from supernet.data import SPLITS
from supernet.study import DataSection


def study(name="digits", path="", shape=(3, 16, 16), **options) -> Study:
    """`digits` with other data."""
    base = Study.load("digits")
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, input_shape=shape),
        data=DataSection(name=name, path=str(path), **{"workers": 0, **options}),
    )


def write_images(root: Path) -> Path:
    """Two classes of three images in each split, red and green."""
    for split in SPLITS:
        for label, colour in enumerate([(255, 0, 0), (0, 255, 0)]):
            directory = root / split / f"class{label}"
            directory.mkdir(parents=True)
            for i, size in enumerate([(40, 20), (16, 16), (9, 30)]):
                Image.new("RGB", size, colour).save(directory / f"{i}.png")
    return root
