"""Architectures a second that a predictor compiled over a space scores on one core, and how far it is
from the uncompiled sum: `python benchmarks/compiled_speed.py runs/resnet50/predictor/xgb`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from results_file import write_result

import predictor
from predictor.evaluation import speed_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a trained predictor")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    loaded = predictor.load(arguments.folder)
    compiled = loaded.compiled()
    space = loaded.plan.space
    codes = space.sample_codes(500, np.random.default_rng(1))
    exact = loaded.predict([space.decode(row) for row in codes])
    difference = float(np.max(np.abs(compiled.predict_codes(codes) / exact - 1)))
    value = {
        "study": loaded.card["study"],
        "predictor": loaded.name,
        "cores": 1,
        "architectures_per_s": speed_of(compiled),
        "largest_relative_difference_to_the_sum": difference,
    }
    print(value)
    write_result(f"compiled_speed-{value['study']}-{value['predictor']}", value)


if __name__ == "__main__":
    main()
