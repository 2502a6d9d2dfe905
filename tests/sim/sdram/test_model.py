"""The SDRAM model: what it stores, and that it finds each broken rule."""

from dataclasses import replace

import pytest

from hw.sdram import PARTS
from hw.sdram.pins import PRECHARGE_ALL, SDRAMCommand, mode_register
from sim.errors import SimulationError
from sim.sdram import Player


pytestmark = pytest.mark.verilator

# At 100 MHz: tRCD, tRP and tMRD are 3 cycles, tRAS 5, tRC and tRFC 9, tRRD and tWR 2.
PART = replace(
    PARTS["AS4C16M16SA-7"], row_bits=11, column_bits=8, t_rc=90.0, t_rfc=90.0, t_mrd=30.0,
    t_power_up=400.0, t_refresh=64e6 / 4)
CLOCK = 100_000_000
MODE = mode_register(burst_length=4, cas_latency=2)
NOP, ACTIVE, READ, WRITE, PRECHARGE, REFRESH, LOAD_MODE = SDRAMCommand


@pytest.fixture
def player():
    """Return a player of a memory that is powered up."""
    player = Player(PART, CLOCK)
    player.power_up(mode=MODE)
    return player


def write(player, values, *, bank=0, column=0, masks=(0, 0, 0, 0)):
    for number, (value, mask) in enumerate(zip(values, masks, strict=True)):
        player.send(WRITE if number == 0 else NOP, bank=bank, address=column, data=value,
                    mask=mask)


def broken(player, text):
    with pytest.raises(SimulationError, match=text):
        player.run()


def test_stores(player):
    player.send(ACTIVE, bank=1, address=5)
    player.wait(2)
    write(player, [1, 2, 3, 4], bank=1, column=8)
    write(player, [0xAAAA] * 4, bank=1, column=12, masks=(0, 1, 2, 3))
    place = len(player.cycles)
    player.send(READ, bank=1, address=8)
    player.wait(3)
    player.send(READ, bank=1, address=12)
    player.wait(8)
    answer = player.run()
    # What the controller takes at the end of a cycle was put there at the end of the one before.
    assert answer[place + 2:place + 6] == [1, 2, 3, 4]
    assert answer[place + 6] == 0xAAAA
    before = player.cycles[:place - 4]
    again = Player(PART, CLOCK)
    again.cycles = [*before, *[player.cycles[-1]] * 4, *player.cycles[place:]]
    old = again.run()
    assert answer[place + 7] == 0xAA00 | old[place + 7] & 0xFF
    assert answer[place + 8] == old[place + 8] & 0xFF00 | 0xAA
    assert answer[place + 9] == old[place + 9]
    assert answer[place + 1] is answer[place + 10] is None


def test_cas_latency_3():
    player = Player(PART, CLOCK)
    player.power_up(mode=mode_register(burst_length=2, cas_latency=3))
    player.send(ACTIVE)
    player.wait(2)
    place = len(player.cycles)
    player.send(READ)
    player.wait(8)
    driven = [value is not None for value in player.run()[place:]]
    assert driven == [False] * 3 + [True] * 2 + [False] * 4


def test_masked_read(player):
    player.send(ACTIVE)
    player.wait(2)
    place = len(player.cycles)
    player.send(READ)
    player.send(NOP, mask=3)
    player.wait(8)
    driven = [value is not None for value in player.run()[place:]]
    assert driven == [False] * 2 + [True, False, True, True] + [False] * 4


def test_power_up_time():
    player = Player(PART, CLOCK)
    player.wait(30)
    player.send(PRECHARGE, address=PRECHARGE_ALL)
    player.wait(2)
    broken(player, "power-up time broken")


def test_power_up_needs_precharge():
    player = Player(PART, CLOCK)
    player.wait(45)
    player.send(REFRESH)
    player.wait(2)
    broken(player, "REFRESH before PRECHARGE of all banks")


def test_power_up_needs_refreshes():
    player = Player(PART, CLOCK)
    player.power_up(mode=MODE, refreshes=7)
    broken(player, "LOAD MODE after 7 of 8 refreshes")


def test_power_up_needs_mode():
    player = Player(PART, CLOCK)
    player.power_up(mode=MODE)
    del player.cycles[-4]  # LOAD MODE
    player.send(ACTIVE)
    player.wait(2)
    broken(player, "ACTIVE before the power-up sequence")


@pytest.mark.parametrize(("mode", "text"), [
    (mode_register(burst_length=4, cas_latency=1), "CAS latency of 1"),
    (MODE | 8, "none of sequential bursts of 1 to 8"),
    (MODE | 7, "none of sequential bursts of 1 to 8"),
    (MODE | 1 << 9, "none of sequential bursts of 1 to 8"),
])
def test_mode(mode, text):
    player = Player(PART, CLOCK)
    player.power_up(mode=mode)
    broken(player, text)


def test_cas_latency_for_the_clock():
    player = Player(PART, 142_000_000)
    player.power_up(mode=MODE)
    broken(player, "CAS latency 2 is too short for the clock")


def test_t_mrd(player):
    del player.cycles[-2:]
    player.send(ACTIVE)
    player.wait(1)
    broken(player, "tMRD broken, only 2 cycles")


def test_t_rcd(player):
    player.send(ACTIVE)
    player.wait(1)
    player.send(READ)
    player.wait(1)
    broken(player, "tRCD broken, only 2 cycles")


def test_t_rp(player):
    player.send(ACTIVE)
    player.wait(10)
    player.send(PRECHARGE)
    player.wait(1)
    player.send(ACTIVE)
    player.wait(1)
    broken(player, "tRP broken, only 2 cycles")


def test_t_rp_before_refresh(player):
    player.send(ACTIVE)
    player.wait(10)
    player.send(PRECHARGE)
    player.wait(1)
    player.send(REFRESH)
    player.wait(1)
    broken(player, "tRP broken, only 2 cycles")


def test_t_ras(player):
    player.send(ACTIVE)
    player.wait(3)
    player.send(PRECHARGE)
    player.wait(1)
    broken(player, "tRAS broken, only 4 cycles")


def test_t_rc(player):
    player.send(ACTIVE)
    player.wait(4)
    player.send(PRECHARGE)
    player.wait(2)
    player.send(ACTIVE)
    player.wait(1)
    broken(player, "tRC broken, only 8 cycles")


def test_t_rrd(player):
    player.send(ACTIVE)
    player.send(ACTIVE, bank=1)
    player.wait(1)
    broken(player, "tRRD broken, only 1 cycles")


def test_t_wr(player):
    player.send(ACTIVE)
    player.wait(2)
    write(player, [1, 2, 3, 4])
    player.send(PRECHARGE)
    player.wait(1)
    broken(player, "tWR broken, only 1 cycles")


def test_t_rfc(player):
    player.send(REFRESH)
    player.wait(7)
    player.send(ACTIVE)
    player.wait(1)
    broken(player, "tRFC broken, only 8 cycles")


def test_t_ras_max():
    part = replace(PART, t_ras_max=2000.0)
    player = Player(part, CLOCK)
    player.power_up(mode=MODE)
    player.send(ACTIVE)
    player.wait(210)
    player.send(PRECHARGE)
    player.wait(1)
    broken(player, "bank 0 was open for longer than tRAS allows")


def test_refresh_of_every_row():
    """Refreshes that come regularly, but a little too late for all rows."""
    part = replace(PART, t_refresh=16e6 / 8)  # 97 cycles a row
    player = Player(part, CLOCK)
    player.power_up(mode=MODE)
    for _ in range(2048):
        player.wait(99)
        player.send(REFRESH)
    broken(player, "rows refreshed in time")


def test_refresh_of_every_row_again():
    part = replace(PART, t_refresh=16e6 / 8)
    player = Player(part, CLOCK)
    player.power_up(mode=MODE)
    for interval in (90, 97):
        for _ in range(2048):
            player.wait(interval)
            player.send(REFRESH)
    player.wait(3)
    broken(player, "a row waited too long for its refresh")


def test_no_refresh(player):
    player.wait(9 * 790)
    broken(player, "no refresh for nine intervals")


def test_active_twice(player):
    player.send(ACTIVE)
    player.wait(10)
    player.send(ACTIVE, address=1)
    player.wait(1)
    broken(player, "ACTIVE while bank 0 is open")


@pytest.mark.parametrize("command", [READ, WRITE])
def test_closed_bank(player, command):
    player.send(ACTIVE)
    player.wait(3)
    player.send(command, bank=1, data=1 if command == WRITE else None)
    player.wait(1)
    broken(player, f"{command.name} while bank 1 is closed")


def test_refresh_of_an_open_bank(player):
    player.send(ACTIVE, bank=2)
    player.wait(10)
    player.send(REFRESH)
    player.wait(1)
    broken(player, "REFRESH while bank 2 is open")


def test_mode_with_an_open_bank(player):
    player.send(ACTIVE, bank=2)
    player.wait(10)
    player.send(LOAD_MODE, address=MODE)
    player.wait(1)
    broken(player, "LOAD MODE while bank 2 is open")


def test_read_cuts_a_read(player):
    player.send(ACTIVE)
    player.wait(2)
    player.send(READ)
    player.wait(2)
    player.send(READ)
    player.wait(1)
    broken(player, "READ cuts a burst")


def test_precharge_cuts_a_read(player):
    player.send(ACTIVE)
    player.wait(5)
    player.send(READ)
    player.wait(2)
    player.send(PRECHARGE)
    player.wait(1)
    broken(player, "PRECHARGE cuts a burst")


def test_column_inside_a_burst(player):
    player.send(ACTIVE)
    player.wait(5)
    player.send(READ, address=2)
    player.wait(1)
    broken(player, "READ of column 2, which begins no burst")


def test_auto_precharge(player):
    player.send(ACTIVE)
    player.wait(5)
    player.send(READ, address=PRECHARGE_ALL)
    player.wait(1)
    broken(player, "auto precharge")


def test_burst_stop(player):
    player.raw(0b110)
    player.wait(1)
    broken(player, "burst stop")


def test_power_down(player):
    player.send(NOP, cke=0)
    player.wait(1)
    broken(player, "power down or self refresh")


def test_command_without_clock():
    player = Player(PART, CLOCK)
    for _ in range(60):
        player.send(NOP, cke=0)
    player.send(PRECHARGE, cke=0, address=PRECHARGE_ALL)
    player.wait(1)
    broken(player, "command with CKE low")


def test_both_drive(player):
    player.send(ACTIVE)
    player.wait(2)
    player.send(READ)
    player.wait(3)
    player.send(WRITE, data=1)
    player.wait(1)
    broken(player, "both sides drive the data bus")


def test_no_free_cycle(player):
    player.send(ACTIVE)
    player.wait(2)
    player.send(READ)
    player.wait(5)
    write(player, [1, 2, 3, 4])
    broken(player, "no free cycle as the data bus changes hands")


def test_free_cycle(player):
    player.send(ACTIVE)
    player.wait(2)
    player.send(READ)
    player.wait(6)
    write(player, [1, 2, 3, 4])
    player.run()


def test_write_without_data(player):
    player.send(ACTIVE)
    player.wait(2)
    player.send(WRITE, data=1)
    player.wait(4)
    broken(player, "nobody drives the data to write")


def test_deselected_commands_do_nothing(player):
    player.send(READ, selected=0)
    player.wait(1)
    player.run()
