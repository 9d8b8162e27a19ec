"""An unfinished training on disk: one file, replaced whole, that training goes on from."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from supernet import checkpoint
from supernet.distributed import ALONE, World
from supernet.errors import OvnasError
from supernet.study import Study
from supernet.training import Fit
from supernet.training_log import TrainingLog
from supernet.whole_files import load_state, save_state

__all__ = ["Keeper"]

# 1: first.
SCHEMA_VERSION = 1


class Keeper:
    """Saves the state of a training that consists of phases, and takes it up again.

    A kept phase's state is restored by `take_up`; phases before it are over. `origin`: what the training
    begins with (digests of files, say), of which the user names `options`; `advice`: what to do where that,
    or a setting, was another one. With several processes all read and the first one writes.
    """

    def __init__(
        self,
        path: Path,
        study: Study,
        seed: int,
        log: TrainingLog,
        *,
        origin: dict[str, str] | None = None,
        options: tuple[str, ...] = (),
        advice: str = "start again with --force, or take another --runs-dir",
        world: World = ALONE,
    ) -> None:
        self.path, self.log, self.advice, self.world = path, log, advice, world
        self.made_from = {"seed": seed, "origin": origin or {}, "settings": checkpoint.settings_of(study)}
        self.minutes = study.train.checkpoint_minutes
        self.options = options
        self.facts: dict[str, Any] = {}
        self._kept: dict[str, Any] | None = None
        self._tensors: dict[str, Any] = {}
        self._last_s = time.monotonic()
        if path.is_file():
            self._read(study)

    def _read(self, study: Study) -> None:
        self._tensors, kept = load_state(self.path)
        if kept.get("schema_version") != SCHEMA_VERSION:
            raise OvnasError(
                f"{self.path} has schema {kept.get('schema_version')}, but this version reads "
                f"{SCHEMA_VERSION}; start again with --force"
            )
        theirs = kept["made_from"]
        faults = checkpoint.differences(study, theirs["settings"])
        there, now = _origins(theirs), _origins(self.made_from)
        if kept["facts"].get("goes_on"):  # from a trained super-network, whose origin counts
            there, now = ({"seed": one["seed"]} for one in (there, now))
        forgotten = [name for name in self.options if there.get(name) and not now.get(name)]
        if forgotten:
            option = forgotten[0].replace("_", "-")
            raise OvnasError(
                f"{self.path} is an unfinished training that began with --{option} FILE; give it again"
            )
        faults += [
            f"{name}: {there.get(name)!r} there, {now.get(name)!r} now"
            for name in there | now
            if there.get(name) != now.get(name)
        ]
        if faults:
            advice = self.advice
            if checkpoint.keeps_pretraining(faults):
                advice = "delete that file to keep the pre-trained model, or take another --runs-dir"
            raise OvnasError(
                f"{self.path} is an unfinished training with other settings ({'; '.join(faults)}); {advice}"
            )
        self._kept, self.facts = kept, kept["facts"]
        self.log.rows = kept["log"]

    @property
    def has_kept(self) -> bool:
        """Whether there is something to go on from."""
        return self._kept is not None

    def is_past(self, phase: int) -> bool:
        """Whether the kept state belongs to a later phase."""
        return self._kept is not None and self._kept["phase"] > phase

    def take_up(self, phase: int, fit: Fit) -> bool:
        """Restores the phase's kept state, if there is one."""
        if self._kept is None or self._kept["phase"] != phase:
            return False
        fit.restore(self._tensors, self._kept["fit"])
        self._tensors = {}
        return True

    def save(self, phase: int, fit: Fit) -> None:
        """Replaces the kept state by this one."""
        self._last_s = time.monotonic()
        if self.world.is_first:
            tensors, state = fit.state()
            facts = {
                "schema_version": SCHEMA_VERSION,
                "made_from": self.made_from,
                "facts": self.facts,
                "log": self.log.rows,
                "phase": phase,
                "fit": state,
            }
            save_state(tensors, self.path, facts=facts)

    def save_if_due(self, phase: int, fit: Fit) -> None:
        """Saves if the study's minutes have gone by since the last time."""
        if self.minutes and time.monotonic() - self._last_s > 60 * self.minutes:
            self.save(phase, fit)

    def remove(self) -> None:
        """Forgets the state: the training is over."""
        self.path.unlink(missing_ok=True)


def _origins(made_from: dict[str, Any]) -> dict[str, Any]:
    return {"seed": made_from["seed"], **made_from["origin"]}
