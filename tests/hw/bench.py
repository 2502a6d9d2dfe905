"""Running a component in Amaranth's simulator under a watchdog."""

from amaranth.sim import Simulator


__all__ = ("simulate",)


_PERIOD = 1e-8


def simulate(dut, *testbenches, processes=(), max_cycles=20_000):
    """Run ``testbenches`` to their end; ``processes`` run beside them in the background."""
    simulator = Simulator(dut)
    simulator.add_clock(_PERIOD)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    for process in processes:
        simulator.add_testbench(process, background=True)

    async def watchdog(ctx):
        # One wait for all cycles: a process that wakes in each of them costs as much as the DUT.
        await ctx.delay(max_cycles * _PERIOD)
        raise TimeoutError(f"testbenches still running after {max_cycles} cycles")

    simulator.add_testbench(watchdog, background=True)
    simulator.run()
