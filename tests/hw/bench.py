"""Running a component in Amaranth's simulator under a watchdog."""

from amaranth.sim import Simulator


__all__ = ("simulate",)


def simulate(dut, *testbenches, processes=(), max_cycles=20_000):
    """Run ``testbenches`` to their end; ``processes`` run beside them in the background."""
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    for process in processes:
        simulator.add_testbench(process, background=True)

    async def watchdog(ctx):
        for _ in range(max_cycles):
            await ctx.tick()
        raise TimeoutError(f"testbenches still running after {max_cycles} cycles")

    simulator.add_testbench(watchdog, background=True)
    simulator.run()
