"""Figures of the speed benchmark, and one real job."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest


ROOT = Path(__file__).resolve().parents[2]
LENET = next((ROOT / "dynafix" / "models").glob("*.onnx"))


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location(
        "bench_speed", ROOT / "scripts" / "bench_speed.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ratio_is_the_median_over_the_rounds(bench):
    ours = [bench.Timing(1, 1, 100), bench.Timing(2, 4, 100), bench.Timing(9, 3, 100)]
    others = [bench.Timing(2, 1, 100), bench.Timing(2, 1, 100), bench.Timing(3, 1, 100)]
    assert bench.ratio(ours, others, "wall") == 1
    assert bench.ratio(ours, others, "cpu") == 3


@pytest.mark.parametrize("job", ["dynafix", "onnxruntime"])
def test_job(bench, job, tmp_path):
    np.save(tmp_path / "images.npy", np.random.default_rng(0).random((2, 1, 28, 28), np.float32))
    found = bench._started(
        job, LENET, tmp_path / "images.npy", python=bench.sys.executable)
    assert found["wall"] > 0
    assert found["cpu"] > 0
    assert found["peak"] > 10


def test_inference_prints_pairs(bench, tmp_path):
    np.save(tmp_path / "images.npy", np.random.default_rng(0).random((9, 1, 28, 28), np.float32))
    pairs = bench._started(
        "inference", LENET, tmp_path / "images.npy", python=bench.sys.executable)
    assert len(pairs) == bench.ROUNDS_INSIDE
    assert all(time > 0 for pair in pairs for time in pair)


def test_failing_job_stops_with_its_message(bench, tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((2, 1, 28, 27), np.float32))
    with pytest.raises(SystemExit, match="dynafix failed on"):
        bench._started("dynafix", LENET, tmp_path / "images.npy", python=bench.sys.executable)


def test_activations_of_the_largest_layer(bench):
    layer, whole = bench.activations(LENET)
    assert 0 < layer < whole
    assert layer % 4 == whole % 4 == 0


def test_memory_counts_what_more_images_take(bench, tmp_path):
    images = tmp_path / "images.npy"
    np.save(images, np.random.default_rng(0).random((4, 1, 28, 28), np.float32))
    row, large = bench._memory_row(LENET, images, 2, 4, 1e6)
    assert row[0] == LENET.stem
    assert row[1:4:2] == ["2", "4"]
    assert not large
    _, large = bench._memory_row(LENET, images, 2, 4, -1e6)
    assert large
