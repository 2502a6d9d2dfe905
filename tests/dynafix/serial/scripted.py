"""Boards in Python, behind a port."""

from arch.isa import ISA_VERSION, Region
from arch.registers import register
from arch.serial import (
    PROTOCOL_VERSION,
    Answer,
    Command,
    Status,
    checksum,
    encode_answer,
    encode_info,
)
from sim.functional import run_functional

from .standalone import CONFIG


__all__ = ("FunctionalPort", "ScriptedPort")


class ScriptedPort:
    """A board of a few lines: memory and registers, and faults that a test asks for."""

    def __init__(self, *, memory=8192, config_hash=CONFIG.hash):
        self.name = "here"
        self.timeout = None
        self.memory = bytearray(memory)
        self.requests = []
        self.change = lambda number, answer: answer
        self.registers = {
            "ID": 0x584E5944, "VERSION": ISA_VERSION, "HASH_LO": config_hash & 0xFFFF_FFFF,
            "HASH_HI": config_hash >> 32}
        self._heard = b""

    def write(self, frame):
        assert frame[:2] == bytes([0x3C, PROTOCOL_VERSION])
        assert checksum(frame[1:11]) == 0
        assert checksum(frame[11:]) in (0, 0xFFFF)
        command, tag = frame[2] & 15, frame[2] >> 4
        length, address = int.from_bytes(frame[3:5], "little"), int.from_bytes(frame[5:9], "little")
        self.requests.append((command, address, length))
        data = b""
        match command:
            case Command.INFO:
                data = encode_info(beat=4, memory=len(self.memory), clock=0, timeout=64)
            case Command.READ_REGISTERS:
                data = b"".join(
                    self.value(place).to_bytes(4, "little")
                    for place in range(address, address + length, 4))
            case Command.READ_MEMORY:
                data = bytes(self.memory[address:address + length])
            case Command.WRITE_MEMORY:
                self.memory[address:address + length] = frame[11:-2]
            case Command.WRITE_REGISTER:
                self.written(address, int.from_bytes(frame[11:-2], "little"))
        answer = Answer(PROTOCOL_VERSION, command, tag, data, Status.DONE)
        changed = self.change(len(self.requests), answer)
        self._heard += encode_answer(changed) if isinstance(changed, Answer) else changed

    def value(self, offset):
        return next((value for name, value in self.registers.items()
                     if register(name).offset == offset), 0)

    def written(self, offset, value):
        pass

    def read(self, size):
        found, self._heard = self._heard[:size], self._heard[size:]
        return found

    def close(self):
        pass


class FunctionalPort(ScriptedPort):
    """A board that runs one program, in numpy."""

    def __init__(self, program):
        super().__init__(memory=1 << 20, config_hash=program.config.hash)
        self.program = program
        self.regions = {}

    def written(self, offset, value):
        for region in Region:
            if offset == register(f"REGION_{int(region)}").offset:
                self.regions[region] = value
        if offset == register("CONTROL").offset:
            start = self.regions[Region.INPUT]
            output, _ = run_functional(
                self.program, bytes(self.memory[start:start + self.program.input_size]))
            start = self.regions[Region.OUTPUT]
            self.memory[start:start + len(output)] = output
            self.registers |= {"STATUS": 0b10, "CYCLES_LO": 1234}
