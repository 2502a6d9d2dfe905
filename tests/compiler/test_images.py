"""Programs on disk: what is written, read back, and refused."""

import json

import numpy as np
import pytest

from arch.config import preset
from compiler import CompileError, compile_model, load, save
from compiler.text_images import intel_hex, readmemh
from sim.functional import run_functional

from .networks import NetworkBuilder, random_codes


@pytest.fixture
def model():
    b = NetworkBuilder(np.random.default_rng(4), (3, 9, 9), signed=False)
    x = b.conv("input", 9, (3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    x = b.max_pool(x)
    return b.model(b.fc(x, 5), name="tiny net")


@pytest.fixture
def program(model):
    return compile_model(model, preset("small"))


def test_round_trip(tmp_path, model, program):
    save(program, tmp_path / "program")
    again = load(tmp_path / "program")
    assert again.program_image == program.program_image
    assert again.weight_image == program.weight_image
    for name in ("name", "config", "layers", "input_layout", "output_layout", "input_name",
                 "output_name", "input_size", "output_size", "scratch_size", "writes", "tensors",
                 "places", "dram", "compulsory", "prediction", "model_hash", "roofline_cycles",
                 "compulsory_bytes", "worst_acc_bits"):
        assert getattr(again, name) == getattr(program, name), name
    assert again.disassemble() == program.disassemble()
    data = again.input_layout.pack(random_codes(np.random.default_rng(0), model)[0])
    assert run_functional(again, data)[0] == run_functional(program, data)[0]


def test_files(tmp_path, program):
    save(program, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "manifest.json", "program.bin", "program.hex", "program.mem", "program.txt",
        "weights.bin", "weights.hex", "weights.mem"]
    words = (tmp_path / "weights.mem").read_text().split()
    data = b"".join(int(word, 16).to_bytes(8, "little") for word in words)
    assert data == (tmp_path / "weights.bin").read_bytes() == program.weight_image
    assert (tmp_path / "program.txt").read_text() == program.disassemble()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["schema"] == 1
    assert manifest["config_hash"] == f"{preset('small').hash:#018x}"
    assert manifest["sizes"]["program"] == len(program.program_image)
    assert manifest["tensors"]["maxpool1_out"]["shape"] == [9, 2, 2]
    assert manifest["places"]["maxpool1_out"]["feature_row"] >= 0
    assert [layer["fused"] for layer in manifest["layers"]] == ["maxpool1", "", ""]
    assert manifest["places"][program.output_name]["region"] == 2
    assert manifest["places"]["input"]["region"] == 1
    weights = [(layer["weight_address"], layer["stored_size"]) for layer in manifest["layers"]]
    assert weights[0][0] == weights[1][0] == 0
    assert weights[1][1] == 0  # pooling
    assert weights[2] == (weights[0][1], len(program.weight_image) - weights[0][1])


def test_saving_again_replaces_everything(tmp_path, program):
    save(program, tmp_path / "p")
    (tmp_path / "p" / "stale").write_text("old")
    save(program, tmp_path / "p")
    assert not (tmp_path / "p" / "stale").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_failed_save_leaves_the_old_files(tmp_path, program, monkeypatch):
    save(program, tmp_path / "p")
    before = (tmp_path / "p" / "manifest.json").read_text()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("compiler.images.readmemh", full)
    with pytest.raises(CompileError, match="No space left on device"):
        save(program, tmp_path / "p")
    assert (tmp_path / "p" / "manifest.json").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_folder_that_cannot_be_made(tmp_path, program):
    (tmp_path / "file").write_text("")
    with pytest.raises(CompileError, match=r"Folder '.*/file/p' cannot be written: "):
        save(program, tmp_path / "file" / "p")


@pytest.mark.parametrize("name", ["weights.bin", "program.bin", "weights.mem"])
def test_file_that_does_not_match_the_manifest(tmp_path, program, name):
    save(program, tmp_path)
    data = bytearray((tmp_path / name).read_bytes())
    data[40] ^= 1
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CompileError, match=(
            rf"'.*{name}' does not match the manifest: SHA-256 must be .*…, not .*…; "
            "compile again")):
        load(tmp_path)


def test_missing_file(tmp_path, program):
    save(program, tmp_path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(CompileError, match=(
            r"'.*weights.bin' cannot be read: No such file or directory")):
        load(tmp_path)


@pytest.mark.parametrize(("change", "message"), [
    (lambda m: m.update(schema=99), "must have schema 1, not 99; compile again"),
    (lambda m: m.pop("layers"), r"is damaged \(KeyError\('layers'\)\); compile again"),
    (lambda m: m["config"].update(out_lanes=16), "The manifest's config has hash 0x"),
    (lambda m: m["notes"].pop(), "program.bin must have"),
])
def test_damaged_manifest(tmp_path, program, change, message):
    save(program, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    change(manifest)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CompileError, match=message):
        load(tmp_path)


def test_manifest_that_is_no_json(tmp_path, program):
    save(program, tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(CompileError, match=r"'.*manifest.json' is not a manifest: "):
        load(tmp_path)


def _parse_intel_hex(text):
    memory, upper = {}, 0
    for line in text.split():
        record = bytes.fromhex(line[1:])
        assert sum(record) & 0xFF == 0
        length, address, kind = record[0], record[1] << 8 | record[2], record[3]
        payload = record[4:4 + length]
        if kind == 4:
            upper = int.from_bytes(payload, "big") << 16
        elif kind == 0:
            for offset, byte in enumerate(payload):
                memory[upper + address + offset] = byte
        else:
            assert kind == 1
    return bytes(memory[address] for address in range(len(memory)))


@pytest.mark.parametrize("size", [0, 1, 31, 32, 100, 65536, 70000])
def test_intel_hex(size):
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()
    assert _parse_intel_hex(intel_hex(data).decode()) == data


def test_network_without_weights(tmp_path):
    b = NetworkBuilder(np.random.default_rng(4), (3, 4, 4))
    program = compile_model(b.model(b.max_pool("input")), preset("small"))
    assert program.weight_image == b""
    save(program, tmp_path)
    assert (tmp_path / "weights.mem").read_bytes() == b""
    assert load(tmp_path).program_image == program.program_image


def test_readmemh_has_the_first_byte_last():
    assert readmemh(bytes(range(8)), 4) == b"03020100\n07060504\n"


def test_disassembly_has_a_line_for_each_instruction(program):
    text = program.disassemble()
    lines = [line for line in text.splitlines() if not line.startswith(";")]
    assert len(lines) == len(program.instructions) + 1
    for line, item in zip(lines, program.instructions, strict=False):
        assert item.opcode.name in line
        assert program.layers[item.layer].name in line
    assert "param[0..1] <- weights+0x0" in text
    assert "passes x" in text
    assert "fence" in text
    assert lines[-1].split() == [str(len(program.instructions)), "END"]
