import subprocess
import sys

import pytest

from supernet.heap import keep_freed_memory

pytestmark = pytest.mark.skipif(not keep_freed_memory(), reason="not glibc, which alone can be told so")

STEPS = """
import resource, sys
import torch
from supernet.heap import keep_freed_memory

def step():
    kept = [torch.ones(2**24) for _ in range(4)]  # 64 MiB each

if sys.argv[1] == "kept":
    assert keep_freed_memory()
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages_asked_for(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", STEPS, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_a_step_finds_the_pages_of_the_last_one():
    """Huge pages are one fault for 2 MiB, so that even then 3 steps of 256 MiB are 384 faults."""
    assert pages_asked_for("as it was") >= 300
    assert pages_asked_for("kept") < 100
