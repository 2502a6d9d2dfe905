"""Run a program in numpy, one instruction after the other, from its bytes alone.

What an instruction does is written here a second time, from the manual and not from the compiler:
a program that gives the right bytes here does so because its instructions say so. Tokens and
fences have no meaning in a sequential run.
"""

from .machine import FunctionalMachine, run_functional


__all__ = (
    "FunctionalMachine",
    "run_functional",
)
