"""The C driver, compiled with a network and called from Python."""

import ctypes
import subprocess
from pathlib import Path

import numpy as np

from compiler.c_network import c_name


__all__ = ("ORDERS", "STATUS", "CDriver", "build_library")


STATUS = (
    "OK", "BUSY", "WRONG_ID", "WRONG_VERSION", "WRONG_CONFIG", "BAD_MEMORY", "NO_PIXELS",
    "NO_HOST", "HOST_FAILED", "FAILED", "NO_ANSWER")
ORDERS = {"nchw": 0, "nhwc": 1}

_FLAGS = (
    "-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow",
    "-Wsign-conversion", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Wcast-qual",
    "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")
_ALIGNMENT = 64

_u32, _pointer, _size = ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t
_READ = ctypes.CFUNCTYPE(_u32, _pointer, _u32)
_WRITE = ctypes.CFUNCTYPE(None, _pointer, _u32, _u32)
_CACHE = ctypes.CFUNCTYPE(None, _pointer, _pointer, _size)
_WAIT = ctypes.CFUNCTYPE(ctypes.c_int, _pointer, _u32)
_HOST = ctypes.CFUNCTYPE(ctypes.c_int, _pointer, _u32, _pointer, _pointer)


class _Platform(ctypes.Structure):
    _fields_ = (
        ("context", _pointer), ("read32", _READ), ("write32", _WRITE), ("flush", _CACHE),
        ("invalidate", _CACHE), ("wait", _WAIT), ("host", _HOST), ("interrupt", _u32))


def build_library(folder: Path, name: str, target: Path) -> Path:
    """Compile driver, network and images of the folder ``ip`` as a shared library."""
    network = c_name(name)
    sources = [
        *(folder / "c" / file for file in (
            "dynafix.c", "dynafix_maps.c", f"{network}.c", f"{network}_images.S")),
        Path(__file__).with_name("harness.c")]
    path = target / f"{network}.so"
    subprocess.run(
        ["cc", *_FLAGS, "-shared", "-fPIC", f"-I{folder}", f"-I{folder / 'c'}",
         f"-DNETWORK={network}", f'-DNETWORK_HEADER="{network}.h"', *map(str, sources), "-o",
         str(path)], check=True, capture_output=True)
    return path


class CDriver:
    """The library, with a memory that is like a cache: only flush and invalidate move bytes.

    Parameters
    ----------
    library : path
        What :func:`build_library` made.
    address : int
        Where the accelerator sees the memory.
    read, write : callable
        Registers, by offset.
    load, store : callable
        Memory behind the cache: ``load(address, size)`` and ``store(address, data)``.
    """

    def __init__(self, library, address=0, *, read=None, write=None, load=None, store=None):
        self.lib = lib = ctypes.CDLL(str(library))
        for function, result in (
                ("harness_device", _pointer), ("harness_memory_size", _size),
                ("harness_cycles", ctypes.c_uint64), ("dynafix_error_text", ctypes.c_char_p),
                ("dynafix_error_source", ctypes.c_char_p),
                ("dynafix_status_text", ctypes.c_char_p), ("dynafix_argmax", _u32)):
            getattr(lib, function).restype = result
        self.address = address
        self._registers = (read or (lambda offset: 0), write or (lambda offset, value: None))
        self._memory = (load, store)
        self.failures = []
        self.platform()
        size = lib.harness_memory_size()
        self._bytes = np.full(size + _ALIGNMENT, 0xA5, np.uint8)
        first = -self._bytes.ctypes.data % _ALIGNMENT
        self.memory = self._bytes[first:first + size]
        self.device = _pointer(lib.harness_device())

    def platform(self, *, wait=None, host=None, interrupt=False):
        """Give the driver its surroundings; ``wait(count)`` and ``host(step, source, result)``."""
        read, write = self._registers
        load, store = self._memory

        def base(start):
            return start - self.memory.ctypes.data

        def flush(_, start, size):
            store(self.address + base(start), self.memory[base(start):][:size].tobytes())

        def invalidate(_, start, size):
            self.memory[base(start):][:size] = np.frombuffer(
                load(self.address + base(start), size), np.uint8)

        self._platform = _Platform(
            None, _READ(self._kept(lambda _, offset: read(offset))),
            _WRITE(self._kept(lambda _, offset, value: write(offset, value))),
            _CACHE(self._kept(flush)) if store else _CACHE(),
            _CACHE(self._kept(invalidate)) if load else _CACHE(),
            _WAIT(self._kept(lambda _, count: wait(count))) if wait else _WAIT(),
            _HOST(self._kept(lambda _, *words: host(*words))) if host else _HOST(),
            int(interrupt))
        self.lib.harness_platform(ctypes.byref(self._platform))

    def _kept(self, function):
        """Return a function whose exceptions are raised by :meth:`call`: C lets none through."""
        def guarded(*arguments):
            try:
                return function(*arguments)
            except BaseException as error:
                self.failures.append(error)
                return 1
        return guarded

    def call(self, function, *arguments):
        """Call a function of the driver for the device; return what it says in words."""
        status = getattr(self.lib, function)(self.device, *arguments)
        return self._checked(status)

    def _checked(self, status):
        if self.failures:
            raise self.failures.pop()
        return STATUS[status]

    def init(self, *, size=None, address=None):
        """Call ``dynafix_init``."""
        return self._checked(self.lib.harness_init(
            _pointer(self.memory.ctypes.data), _u32(self.address if address is None else address),
            _size(len(self.memory) if size is None else size)))

    def load(self):
        """Call ``dynafix_load`` with the network's images."""
        return self._checked(self.lib.harness_load())

    def pack(self, kind, values, order):
        """Call ``dynafix_pack_<kind>`` for values (c, h, w)."""
        axes = (1, 2, 0) if order == "nhwc" else (0, 1, 2)
        dtype = {"codes": np.int16, "floats": np.float32, "pixels": np.uint8}[kind]
        stored = np.ascontiguousarray(np.asarray(values).transpose(axes), dtype)
        function = getattr(self.lib, f"dynafix_pack_{kind}")
        function.restype = ctypes.c_int if kind == "pixels" else None
        status = function(self.device, _pointer(stored.ctypes.data), ORDERS[order])
        return self._checked(status or 0)

    def unpack(self, kind, shape, order):
        """Call ``dynafix_unpack_<kind>``; return the values (c, h, w)."""
        channels, height, width = shape
        dtype = {"codes": np.int32, "floats": np.float32}[kind]
        found = np.empty(shape if order == "nchw" else (height, width, channels), dtype)
        getattr(self.lib, f"dynafix_unpack_{kind}")(
            self.device, _pointer(found.ctypes.data), ORDERS[order])
        return found if order == "nchw" else found.transpose(2, 0, 1)

    def error(self):
        """Return code, engine, fetched, done and step of the last failure."""
        words = (_u32 * 5)()
        self.lib.harness_error(words)
        return list(words)

    def counters(self, layer, engine):
        """Return the counters of an engine for a layer."""
        words = (_u32 * 4)()
        self.lib.dynafix_counters(self.device, layer, engine, words)
        return list(words)
