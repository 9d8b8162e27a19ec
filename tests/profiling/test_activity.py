from __future__ import annotations

import json
import os
import subprocess
import sys

from profiling import activity


def test_activity_is_json():
    value = activity.read_activity(0.0)
    assert json.loads(json.dumps(value)) == value
    assert value["memory_available_gib"] > 0
    assert value["load_1m"] >= 0


def test_others_are_named_and_we_are_not(monkeypatch):
    monkeypatch.setattr(activity, "BUSY_PERCENT", -1.0)  # whoever is there counts as busy
    monkeypatch.setattr(activity, "MAX_NAMED", 10**6)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        busy = activity.read_activity(0.0)["busy"]
        other.communicate(b"\n")
    pids = [item["pid"] for item in busy]
    assert other.pid in pids
    assert os.getpid() not in pids
    assert [item["percent"] for item in busy] == sorted((i["percent"] for i in busy), reverse=True)
