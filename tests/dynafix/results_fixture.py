"""Synthetic ``results.json`` of two networks, for the tests of the report."""

import base64
import io
import random

from PIL import Image, ImageDraw

from arch.config import preset


__all__ = (
    "build",
    "large",
    "lenet",
)

LENET = (
    # name, operator, input, output, macs, weight bytes
    ("conv1", "Conv 5×5 + ReLU", (1, 28, 28), (6, 24, 24), 86_400, 156),
    ("pool1", "MaxPool 2×2", (6, 24, 24), (6, 12, 12), 0, 0),
    ("conv2", "Conv 5×5 + ReLU", (6, 12, 12), (16, 8, 8), 153_600, 2_416),
    ("pool2", "MaxPool 2×2", (16, 8, 8), (16, 4, 4), 0, 0),
    ("fc1", "Gemm + ReLU", (256, 1, 1), (120, 1, 1), 30_720, 30_840),
    ("fc2", "Gemm", (120, 1, 1), (10, 1, 1), 1_200, 1_210),
)


def lenet():
    """Return the results of a LeNet of 6 layers, 10 images, everything present."""
    results = _results("lenet5_mnist", LENET, seed=1)
    results["predictions"] = [_prediction(index, random.Random(index)) for index in range(10)]
    return results


def large():
    """Return the results of a residual network of 60 layers without labels and static formats."""
    shapes, size, channels = [], 112, 16
    for block in range(20):
        if block in (4, 10, 16):
            size, channels = size // 2, channels * 2
        name = f"/features/stage{block // 5}/block{block}"
        kernel = channels * channels * 9
        shape = (channels, size, size)
        macs = kernel * size * size
        shapes += [
            (f"{name}/conv_a/Conv", "Conv 3×3 + ReLU", shape, shape, macs, kernel),
            (f"{name}/conv_b/Conv", "Conv 3×3", shape, shape, macs, kernel),
            (f"{name}/add/Add", "Add + ReLU", shape, shape, 0, 0),
        ]
    results = _results("resnet60_synthetic", shapes, seed=2, tiles=40)
    for key in ("float_accuracy", "quantized_accuracy", "static_accuracy", "confidence_95"):
        results[key] = None
    for layer in results["layers"]:
        layer["static_snr_db"] = None
    results["predictions"] = [
        {"index": 0, "label": None, "predicted": 3, "float_predicted": 3,
         "probabilities": [0.1, 0.2, 0.1, 0.6], "png": None},
    ]
    return results


def _results(name, rows, *, seed, tiles=2):
    rng = random.Random(seed)
    config = preset("ecp5_85f")
    layers, timeline, cycle, snr = [], [], 0, 46.0
    for index, (layer, operator, inputs, outputs, macs, weights) in enumerate(rows):
        snr -= rng.uniform(0.1, 80 / len(rows)) if macs else 0.0
        entry = _layer(index, layer, operator, inputs, outputs, macs, weights, snr, rng, config)
        layers.append(entry)
        cycle = _spans(timeline, index, cycle, entry, tiles)
    cycles = max(span["end"] for span in timeline)
    macs = sum(row[4] for row in rows)
    read = sum(layer["dram_bytes"] - layer["dram_by_stream"]["maps_out"] for layer in layers)
    written = sum(layer["dram_by_stream"]["maps_out"] for layer in layers)
    roofline = sum(layer["roofline_cycles"] for layer in layers)
    return {
        "schema": 1, "network": name, "model_file": f"models/{name}.onnx",
        "config": config.to_json(), "config_hash": f"0x{config.hash:016x}",
        "dram": {"latency": 30, "bytes_per_cycle": 8},
        "options": {"data_bits": 8, "weight_bits": 8, "first_last_bits": None,
                    "precision": "dynamic", "ranges": "l1", "per_channel": False},
        "preprocess": {"mean": [0.0], "std": [255.0], "color": "GRAY", "layout": "NCHW"},
        "float_accuracy": 0.988, "quantized_accuracy": 0.986, "static_accuracy": 0.912,
        "images_evaluated": 500, "confidence_95": 0.0095, "images_simulated": 10,
        "engines_equal": True, "not_compared": [], "cycles_per_image": cycles,
        "utilization": macs / (config.multipliers * cycles), "roofline_cycles": roofline,
        "predicted_cycles": round(cycles * 0.98), "dram_bytes": read + written,
        "dram_read_bytes": read, "dram_written_bytes": written,
        "simulated_macs_per_second": 63.1e6, "simulated_cycles_per_second": 718_000.0,
        "macs": macs, "clock_mhz": 150, "warnings": [], "predictions": [], "class_names": None,
        "layers": layers, "timeline": timeline,
        "provenance": {
            "command": f"dynafix run models/{name}.onnx --data models/mnist_500.npz "
                       "--config ecp5_85f --images 10 --output build/" + name,
            "versions": {"dynafix": "0.1.0", "python": "3.11.9", "numpy": "2.4.6",
                         "onnxruntime": "1.31.1", "verilator": "5.048"},
            "model_sha256": "3f" * 32, "data_sha256": "9c" * 32, "seeds": {"calibration": 0},
            "date": "2025-11-20T22:53:00+00:00",
        },
    }


def _layer(index, name, operator, inputs, outputs, macs, weights, snr, rng, config):
    frac = rng.choice((3, 4, 4, 5, 6))
    signed = "ReLU" not in operator and "Pool" not in operator
    top = 2.0 ** ((7 if signed else 8) - frac)
    seen = top * rng.uniform(0.45, 1.06)
    streams = {"weights": weights, "maps_in": 784 if index == 0 else 0,
               "maps_out": 16 if macs == 1_200 else 0, "program": 64 * rng.randint(2, 12)}
    array, dram = macs / config.multipliers, sum(streams.values()) / 8
    outside = outputs[1] * outputs[2] * -(-outputs[0] // 16) * 4 if not macs else 0
    cycles = round(max(array / rng.uniform(0.72, 0.97), dram * 1.04, outside) + 40)
    bound = "vector" if outside else "array" if array > dram else "DRAM"
    return {
        "index": index, "name": name, "operator": operator, "input_shape": list(inputs),
        "output_shape": list(outputs), "macs": macs,
        "weight_format": "s8 .7" if macs else None,
        "data_format": f"{'s' if signed else 'u'}8 .{frac}",
        "format": {"bits": 8, "frac": frac, "signed": signed},
        "weight_fracs": [6, 8] if macs else None,
        "range": [-seen * 0.8 if signed else 0.0, seen],
        "snr_db": snr, "static_snr_db": snr - 3 - 1.9 * index if index < 12 else 4.0,
        "cycles": cycles, "utilization": array / cycles if macs else None,
        "predicted_cycles": round(cycles * rng.uniform(0.96, 1.03)),
        "roofline_cycles": round(max(array, dram)), "bound_by": bound,
        "dram_bytes": sum(streams.values()), "dram_by_stream": streams, "engines_equal": True,
        "counters": {
            "load": {"busy": round(dram), "wait": 12, "stall": 30, "beats": round(dram)},
            "calc": {"busy": cycles - 40, "wait": 25, "stall": 0, "beats": 0},
            "save": {"busy": 4, "wait": 20, "stall": 0, "beats": 2},
        },
    }


def _spans(timeline, index, cycle, layer, tiles):
    def add(engine, start, end):
        timeline.append({"engine": engine, "layer": index, "start": start, "end": end})
        return end

    load = max([span["end"] for span in timeline if span["engine"] == "load"], default=0)
    step = max(layer["cycles"] // tiles, 4)
    for _ in range(tiles):
        load = max(load, cycle - 3 * step)
        load = add("load", load + 2, load + 3 + layer["dram_bytes"] // (8 * tiles))
        cycle = add("calc", max(cycle + 3, load - step // 2), max(cycle, load - step // 2) + step)
        if layer["dram_by_stream"]["maps_out"] or tiles > 2:
            add("save", cycle + 2, cycle + 2 + step // 5)
    return cycle


def _prediction(index, rng):
    label = index
    predicted = 5 if index == 3 else label
    rest = [rng.random() * 0.02 for _ in range(10)]
    rest[predicted] = 1 - (sum(rest) - rest[predicted])
    return {
        "index": index, "label": label, "predicted": predicted,
        "float_predicted": label if index == 3 else predicted, "probabilities": rest,
        "png": _picture(str(label)),
    }


def _picture(text):
    image = Image.new("L", (28, 28), 0)
    ImageDraw.Draw(image).text((8, 2), text, fill=255, font_size=22)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def build(**changes):
    """Return the ``build.json`` of a board, with changes."""
    return {
        "schema": 1, "network": "lenet5_mnist", "top": "standalone", "board": "colorlight-i5",
        "board_title": "Colorlight i5", "device": "LFE5U-25F", "grade": "CABGA381, grade 6",
        "clock_mhz": 40.0, "fmax_mhz": {"sync": 52.25}, "asked_mhz": {"sync": 40.0}, "met": True,
        "lut4": 14_203, "ff": 9_871, "block_ram": 55, "multipliers": 24,
        "available": {"lut4": 24_288, "ff": 24_288, "block_ram": 56, "multipliers": 28},
        "critical_path": {"text": "requantizer: requantizer.shift → requantizer.rounded "
                                  "(8 levels, 19.1 ns, 62 % routing)"},
        "seed": 1, "seeds": {"1": {"sync": 52.25}}, "file": "colorlight-i5.bit",
        "file_size": 582_369, **changes,
    }
