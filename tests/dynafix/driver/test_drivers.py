"""Drivers against the Verilog: the shipped LeNet, errors, steps of the host."""

import pytest

from sim.build import accelerator_verilog
from tests.hw.ip.adapter import packaged_verilog


pytestmark = pytest.mark.verilator


def test_lenet(lenet_ip, run_scenarios):
    run_scenarios(("c_images", "c_errors", "python_images", "python_errors"), lenet_ip)


def test_host(host_ip, run_scenarios):
    run_scenarios(("c_host", "python_host"), host_ip)


@pytest.mark.slow
def test_packaged(host_ip, run_scenarios):
    """The C driver on the accelerator inside its wrapper, as a system on chip has it."""
    config = host_ip.program.config
    run_scenarios(("c_host",), host_ip, packaged_verilog(config, accelerator_verilog(config)))
