"""Configs of the simulated accelerators: each is a build of half a minute, so tests share them."""

from dataclasses import replace

from arch.config import preset


__all__ = ("BANDS", "BANDS16", "LITTLE", "RING", "TINY16", "WIRED")


TINY16 = replace(preset("tiny"), name="tiny16", data_bits=16, weight_bits=16, acc_bits=48)

# Maps do not fit on the chip.
LITTLE = replace(preset("tiny"), name="little", feature_depth=512)

# Maps do not fit in the accumulators or the line buffer; LOAD unrolls kernels.
BANDS = replace(preset("tiny"), name="bands", acc_depth=64, pool_depth=64, unroll_size=1024)
BANDS16 = replace(BANDS, name="bands16", data_bits=16, weight_bits=16, acc_bits=48)

# Registers on the long ways; maps, accumulators and line buffer as above.
WIRED = replace(BANDS, name="wired", wire_registers=True)

# The ring of LOAD holds little more than the lines under a kernel.
RING = replace(preset("small"), name="ring", unroll_size=512)
