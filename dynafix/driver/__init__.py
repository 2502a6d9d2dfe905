"""Drivers that are copied beside the accelerator's Verilog: in C, and in Python for PYNQ."""
