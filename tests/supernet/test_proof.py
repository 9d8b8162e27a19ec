from __future__ import annotations

from supernet.proof import find_fault


def test_a_failure_without_words_is_named(tiny_network, tiny_images, monkeypatch):
    def fail(*inputs, observer):
        raise AssertionError

    monkeypatch.setattr(tiny_network, "observed", fail)
    fault = find_fault(tiny_network, tiny_images[:1])
    assert fault is not None
    assert fault.reason == "fails when channels are left out: AssertionError"
