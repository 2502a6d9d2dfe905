"""Compile what every Verilator build has in common only once: ``python compile_once.py ...``.

make puts it before each command of the C++ compiler (``OBJCACHE`` in Verilator's makefiles)::

    compile_once.py KEPT RUNTIME c++ ... -c -o verilated.o RUNTIME/verilated.cpp

An object of a source in the folder ``RUNTIME`` is kept in the folder ``KEPT`` and copied from there
the next time that the same command is given; any other command just runs. Whoever chooses ``KEPT``
must choose another one for another compiler or other files in ``RUNTIME``.

It starts a dozen times for each build, so it imports little.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path


__all__ = ("main",)


def main(arguments: list[str]) -> int:
    """Run or replace one command of the compiler; return its exit status."""
    kept, runtime, *command = arguments
    shared = Path(command[-1]).parent.resolve() == Path(runtime).resolve()
    if not shared or "-c" not in command or "-o" not in command:
        return subprocess.call(command)
    result = Path(command[command.index("-o") + 1])
    key = hashlib.sha256("\0".join(command).encode()).hexdigest()[:16]
    path = Path(kept, f"{key}.o")
    if path.exists():
        shutil.copyfile(path, result)
        return 0
    status = subprocess.call(command)
    if status == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Another process may do the same: each has its own file, and the last one stays.
        temporary = path.with_suffix(f".{os.getpid()}")
        shutil.copyfile(result, temporary)
        temporary.replace(path)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
