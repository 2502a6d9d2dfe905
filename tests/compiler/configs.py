"""Configs with memories so small that everything has to be cut."""

from dataclasses import replace

from arch.config import AcceleratorConfig, preset


NANO = AcceleratorConfig(
    "nano", in_lanes=2, out_lanes=4, depthwise_taps=2, feature_depth=256, feature_banks=2,
    weight_depth=16, param_depth=4, acc_depth=16, layer_depth=64, dram_width=4, burst_length=16)
SQUARE = AcceleratorConfig(
    "square", in_lanes=4, out_lanes=4, feature_depth=512, feature_banks=2, weight_depth=64,
    param_depth=8, acc_depth=32, layer_depth=64, dram_width=4)
SINGLE = AcceleratorConfig(
    "single", in_lanes=1, out_lanes=4, depthwise_taps=0, feature_depth=1024, feature_banks=1,
    weight_depth=128, param_depth=16, acc_depth=64, layer_depth=64, dram_width=4, burst_length=8)
NANO16 = replace(
    NANO, name="nano16", data_bits=16, weight_bits=16, acc_bits=48, feature_depth=512)
SMALL16 = replace(
    preset("small"), name="small16", data_bits=16, weight_bits=16, acc_bits=48)
MIXED = replace(SQUARE, name="mixed", data_bits=16, acc_bits=48, feature_depth=1024)

CONFIGS = (
    NANO, SQUARE, SINGLE, preset("tiny"), preset("small"), preset("ecp5_85f"), preset("large"))
WIDE_CONFIGS = (NANO16, SMALL16, MIXED, preset("large16"))
