"""The weight stream: order, row blocks, parts, rope, and the way back to checkpoint tensors."""

from __future__ import annotations

import math
import multiprocessing
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hub import stream
from hub.checkpoint import Checkpoint
from hub.errors import CheckpointError
from hub.families import FAMILIES
from hub.quantize import dequantize, quantize
from hub.rounding import Floats
from hub.schemes import SCHEMES, Mixture, Scheme, Schemes
from hub.source_rows import check_sources
from hub.stream import dequantized, press, rope_table
from hub.weight_specs import RopeTable, WeightSpec
from tests.reference.tiny import TINY

MODEL = TINY[0]


class Arrays:
    """Named arrays as a source of rows."""

    def __init__(self, arrays: dict[str, Floats]) -> None:
        self.arrays = arrays

    def shape(self, name: str) -> tuple[int, ...]:
        return self.arrays[name].shape

    def rows(self, name: str, start: int, stop: int) -> Floats:
        return self.arrays[name][start:stop]


def random_rows(rows: int, cols: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((rows, cols), dtype=np.float32)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return Checkpoint.open(MODEL.write(tmp_path_factory.mktemp("tiny")))


def model_specs(context: int = 64) -> tuple[WeightSpec, ...]:
    family = FAMILIES["llama"]
    return family.weights(family.read(MODEL.config()), context)


MIXTURE = Mixture(
    "mixed", SCHEMES["q4"], {"embedding": SCHEMES["q8"], "layers.1.down": SCHEMES["f16"]}
)


@pytest.mark.parametrize("scheme", [*SCHEMES.values(), MIXTURE], ids=[*SCHEMES, "mixed"])
def test_buffers_come_in_declared_order_and_shape(scheme: Schemes, checkpoint: Checkpoint) -> None:
    specs = model_specs()
    wanted = [t for spec in specs for t in spec.tensors(scheme)]
    pressed = list(press(specs, scheme, checkpoint))
    assert [(b.name, b.dtype, b.data.shape) for b in pressed] == wanted


def test_sources_are_laid_one_below_the_other() -> None:
    a, b = random_rows(3, 32), random_rows(5, 32, seed=1)
    spec = WeightSpec("both", "matrix", ("a", "b"), 8, 32)
    (buffer,) = press([spec], SCHEMES["f32"], Arrays({"a": a, "b": b}))
    assert np.array_equal(buffer.data, np.concatenate([a, b]))


@pytest.mark.parametrize("name", ["f16", "q8", "q4"])
def test_small_blocks_give_the_same_bytes_as_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks end inside sources, and a row's scales may start in the middle of a word."""
    scheme = SCHEMES[name]
    a, b = random_rows(7, 96), random_rows(6, 96, seed=1)
    spec = WeightSpec("both", "matrix", ("a", "b"), 13, 96)
    monkeypatch.setattr(stream, "BLOCK_ELEMENTS", 96 * 2)
    pressed = {b.name: b.data for b in press([spec], scheme, Arrays({"a": a, "b": b}))}
    whole = quantize(scheme, np.concatenate([a, b]))
    assert {name.split(".")[1]: data.tobytes() for name, data in pressed.items()} == {
        suffix: data.tobytes() for suffix, data in whole.items()
    }


def test_huge_matrices_are_split_by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.weight_specs.BINDING_NBYTES", 64 * 32 * 4)
    matrix = random_rows(150, 32)
    spec = WeightSpec("big", "matrix", ("m",), 150, 32)
    pressed = list(press([spec], SCHEMES["f32"], Arrays({"m": matrix})))
    assert [b.name for b in pressed] == ["big.0.w", "big.1.w", "big.2.w"]
    assert np.array_equal(np.concatenate([b.data for b in pressed]), matrix)


@pytest.mark.parametrize("name", ["q8", "q4"])
def test_the_error_is_measured(name: str) -> None:
    scheme, matrix = SCHEMES[name], random_rows(40, 64)
    spec = WeightSpec("m", "matrix", ("m",), 40, 64)
    pressed = list(press([spec], scheme, Arrays({"m": matrix})))
    values = dequantize(scheme, {b.name.split(".")[1]: b.data for b in pressed}, 40, 64)
    error = math.sqrt(sum(b.error for b in pressed) / sum(b.norm for b in pressed))
    real = np.linalg.norm(values - matrix) / np.linalg.norm(matrix)
    assert error == pytest.approx(float(real), rel=1e-4)


class CountedArrays(Arrays):
    """Arrays that count how often they are pickled."""

    pickled = 0

    def __reduce__(self) -> tuple[type[Arrays], tuple[dict[str, Floats]]]:
        self.pickled += 1
        return Arrays, (self.arrays,)


def test_worker_processes_give_the_same_bytes(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pressing from 18,000 tensors of experts took three times as long while their names were
    pickled with every block of rows."""
    specs, scheme, source = model_specs(), SCHEMES["q4"], CountedArrays(MODEL.weights())
    alone = [b.data.tobytes() for b in press(specs, scheme, checkpoint)]
    monkeypatch.setattr(stream, "POOL_ELEMENTS", 0)
    assert [b.data.tobytes() for b in press(specs, scheme, source)] == alone
    assert 1 <= source.pickled <= stream._cores()


def test_an_error_in_a_worker_names_the_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = MODEL.write(tmp_path)
    file = folder / "model.safetensors"
    checkpoint = Checkpoint.open(folder)
    entry = checkpoint.entries["model.layers.1.mlp.down_proj.weight"]
    with file.open("r+b") as stream_:
        stream_.seek(entry.offset)
        stream_.write(np.array([np.nan], np.float32).tobytes())
    monkeypatch.setattr(stream, "POOL_ELEMENTS", 0)
    others = set(multiprocessing.active_children())  # those of fixtures of a whole session
    with pytest.raises(CheckpointError, match=r"'model\.layers\.1\.mlp\.down_proj\.weight' holds"):
        list(press(model_specs(), SCHEMES["q4"], checkpoint))
    assert set(multiprocessing.active_children()) <= others


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_dequantized_tensors_have_the_names_and_shapes_of_the_checkpoint(
    scheme: Scheme, checkpoint: Checkpoint
) -> None:
    specs = model_specs()
    buffers = {b.name: b.data for b in press(specs, scheme, checkpoint)}
    values = dict(dequantized(specs, scheme, buffers, checkpoint))
    assert {name: v.shape for name, v in values.items()} == {
        name: entry.shape for name, entry in checkpoint.entries.items()
    }
    for name, value in values.items():
        source = checkpoint.rows(name, 0, value.shape[0])
        assert np.abs(value - source).max() <= 0.3 * np.abs(source).max(), name


def test_f32_gives_the_checkpoint_back_exactly(checkpoint: Checkpoint) -> None:
    specs, scheme = model_specs(), SCHEMES["f32"]
    buffers = {b.name: b.data for b in press(specs, scheme, checkpoint)}
    for name, value in dequantized(specs, scheme, buffers, checkpoint):
        assert np.array_equal(value, checkpoint.rows(name, 0, value.shape[0])), name


def test_the_rope_table_holds_cosines_then_sines() -> None:
    table = rope_table(RopeTable(5, (1.0, 0.25), scale=2.0))
    assert table.dtype == np.float32
    assert table.shape == (5, 4)
    wanted = [2 * math.cos(3), 2 * math.cos(0.75), 2 * math.sin(3), 2 * math.sin(0.75)]
    assert np.allclose(table[3], wanted, rtol=1e-6)


def test_rope_angles_are_float32_products() -> None:
    """transformers multiplies in float32: far positions differ visibly from float64."""
    frequency = 0.7498942093324559
    table = rope_table(RopeTable(100_001, (frequency,)))
    angle = np.float32(100_000) * np.float32(frequency)
    assert table[100_000, 0] == np.float32(math.cos(float(angle)))
    assert abs(math.cos(100_000 * frequency) - table[100_000, 0]) > 1e-4


@pytest.mark.parametrize(
    ("shape", "rows"), [((4, 64), 8), ((8, 32), 8), ((8,), 8)], ids=["few", "narrow", "flat"]
)
def test_a_source_of_another_shape_is_refused(shape: tuple[int, ...], rows: int) -> None:
    spec = WeightSpec("m", "matrix", ("m",), rows, 64)
    source = Arrays({"m": np.zeros(shape, dtype=np.float32)})
    with pytest.raises(CheckpointError, match=r"m has shape .* asks for \[8, 64\]"):
        check_sources([spec], source)


def test_a_vector_with_nan_names_the_tensor() -> None:
    spec = WeightSpec("norm", "vector", ("model.norm.weight",), 4)
    source = Arrays({"model.norm.weight": np.array([1, 2, np.nan, 4], dtype=np.float32)})
    with pytest.raises(CheckpointError, match=r"'model\.norm\.weight' holds NaN"):
        list(press([spec], SCHEMES["q4"], source))


def test_neither_the_model_nor_a_tensor_is_ever_whole_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """32 MiB of float32 source passes in blocks; what stays is the q4 result, 4.5 MiB."""
    rows, cols = 8192, 1024
    save_file({"m": np.zeros((rows, cols), np.float16)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    checkpoint = Checkpoint.open(tmp_path)
    monkeypatch.setattr(stream, "BLOCK_ELEMENTS", 1 << 16)
    spec = WeightSpec("m", "matrix", ("m",), rows, cols)
    tracemalloc.start()
    try:
        for _ in press([spec], SCHEMES["q4"], checkpoint):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * 2**20, f"{peak / 2**20:.1f} MiB"
