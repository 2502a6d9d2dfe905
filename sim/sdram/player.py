"""Commands, cycle by cycle, against the SDRAM model alone."""

from pathlib import Path

from hw.sdram import SDRAMPart
from hw.sdram.pins import PRECHARGE_ALL, SDRAMCommand

from .model import build_clocked, geometry, plusargs, run_clocked


__all__ = ("Player",)


class Player:
    """A list of commands that grows, and what the memory makes of it.

    Parameters
    ----------
    part : SDRAMPart
        The memory.
    clock : int
        Its clock, in Hz.
    cache : Path, optional
        Folder of compiled simulations.
    """

    def __init__(self, part: SDRAMPart, clock: int, cache: Path | None = None) -> None:
        self._part = part
        self._clock = clock
        self._cache = cache
        self.cycles: list[tuple[int, ...]] = []

    def send(self, command: SDRAMCommand, *, bank: int = 0, address: int = 0, mask: int = 0,
             data: int | None = None, cke: int = 1, selected: int = 1) -> None:
        """Append a cycle; the data bus is driven if there are data."""
        self.raw(command.value, bank=bank, address=address, mask=mask, data=data, cke=cke,
                 selected=selected)

    def raw(self, command: int, *, bank: int = 0, address: int = 0, mask: int = 0,
            data: int | None = None, cke: int = 1, selected: int = 1) -> None:
        """Append a cycle with any three bits of a command."""
        self.cycles.append((cke, 1 - selected, command, bank, address, mask,
                            int(data is not None), data or 0))

    def wait(self, cycles: int) -> None:
        """Append cycles without a command."""
        for _ in range(cycles):
            self.send(SDRAMCommand.NOP)

    def power_up(self, *, mode: int, refreshes: int | None = None) -> None:
        """Append the power-up sequence, with waits that are long enough for any part."""
        part, timing = self._part, self._part.timing(self._clock)
        self.wait(timing.power_up)
        self.send(SDRAMCommand.PRECHARGE, address=PRECHARGE_ALL)
        self.wait(timing.rp)
        for _ in range(part.refreshes if refreshes is None else refreshes):
            self.send(SDRAMCommand.REFRESH)
            self.wait(timing.rfc)
        self.send(SDRAMCommand.LOAD_MODE, address=mode)
        self.wait(timing.mrd)

    def run(self) -> list[int | None]:
        """Play all cycles.

        Returns
        -------
        list of int or None
            Data that the memory drives while each cycle's command is on the pins; ``None`` where
            it does not.

        Raises
        ------
        SimulationError
            If a rule is broken.
        """
        build = build_clocked("player", geometry(self._part), cache=self._cache)
        script = "".join(
            " ".join(f"{value:x}" for value in cycle) + "\n" for cycle in self.cycles)
        lines = run_clocked(build, plusargs(self._part, self._clock), script)
        # The first line comes before any command is on the pins.
        answers = [line.split() for line in lines[1:]]
        return [int(data, 16) if driving == "1" else None for driving, data in answers]
