"""Simulation of whole accelerators: Verilator builds, DRAM model, benches, comparison."""
