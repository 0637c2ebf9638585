"""The module that graphs are traced from scores as the device does, whatever a release ranks by."""

from pathlib import Path

import numpy as np
import pytest
import torch
from export_cases import KINDS, write_case

from fedrec.client.ranker import Ranker
from fedrec.errors import ReleaseError
from fedrec.export.graph import module_of, padded, parity_of
from fedrec.export.module import HistoryScores
from fedrec.export.parity import Parity, Probe, compared, insist, probes_of
from fedrec.export.parts import parts_of
from fedrec.release.bundle import read_release

LENGTH = 64


def eager(model: HistoryScores, history: np.ndarray, time: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return np.asarray(model(torch.from_numpy(history), torch.from_numpy(time)).numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_the_module_ranks_as_the_device_does(kind: str, tmp_path: Path) -> None:
    ranker = Ranker(read_release(write_case(tmp_path / kind, kind)))
    parts = parts_of(ranker)
    probes = probes_of(ranker, longest=LENGTH)
    assert [len(probe.places) for probe in probes][:2] == [0, 1]
    assert len(probes[-1].places) == LENGTH
    model = module_of(parts, probes, length=LENGTH)
    parity = parity_of(lambda history, time: eager(model, history, time), probes, parts, LENGTH)
    assert parity.holds, parity
    # What is compared could differ: another history has another list.
    lists = {tuple(probe.top) for probe in probes}
    assert len(lists) > 1


def test_the_time_of_day_counts_where_a_release_reads_it(tmp_path: Path) -> None:
    ranker = Ranker(read_release(write_case(tmp_path / "mean", "mean")))
    parts = parts_of(ranker)
    model = HistoryScores(parts, length=LENGTH).eval()
    history = padded(np.array([4, 9]), LENGTH)
    noon, night = (eager(model, history, np.array([*at, 0, 0], dtype=np.float32)) for at in ((0, -1), (0.9, 0.5)))
    assert parts.reads_time
    assert np.abs(noon - night).max() > 1e-3


def test_a_history_longer_than_the_graph_reads_keeps_its_newest() -> None:
    assert padded(np.arange(5), 3).tolist() == [2, 3, 4]
    assert padded(np.arange(2), 4).tolist() == [-1, -1, 0, 1]
    assert padded(np.arange(0), 2).tolist() == [-1, -1]


def test_too_few_steps_are_found_out() -> None:
    scores = np.array([3.0, 2.0, 1.0, 0.5], dtype=np.float32)
    probe = Probe(np.array([3]), 0, scores, np.array([0, 1, 2]))
    order = np.arange(4)
    swapped = scores[[1, 0, 2, 3]]
    assert compared([probe], [scores], order).holds
    assert compared([probe], [swapped], order) == Parity(1, 0, 1.0, 1.0)
    with pytest.raises(ReleaseError, match="does not rank as a device does"):
        insist(compared([probe], [swapped], order), "this")
    # Neighbours that the device itself hardly tells apart may change places, and no others.
    near = np.array([2.00001, 2.0, 1.0, 0.5], dtype=np.float32)
    close = Probe(np.array([3]), 0, near, np.array([0, 1, 2]))
    assert compared([close], [near[[1, 0, 2, 3]]], order).same == 1
