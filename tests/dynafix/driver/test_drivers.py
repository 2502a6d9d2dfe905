"""Drivers against the Verilog: the shipped LeNet, errors, steps of the host."""

import pytest

from sim.build import accelerator_verilog
from tests.hw.ip.adapter import packaged_verilog


pytestmark = pytest.mark.verilator


@pytest.mark.parametrize("scenario", ["c_images", "c_errors", "python_images", "python_errors"])
def test_lenet(scenario, lenet_ip, run_scenario):
    run_scenario(scenario, lenet_ip)


@pytest.mark.parametrize("scenario", ["c_host", "python_host"])
def test_host(scenario, host_ip, run_scenario):
    run_scenario(scenario, host_ip)


@pytest.mark.slow
def test_packaged(host_ip, run_scenario):
    """The C driver on the accelerator inside its wrapper, as a system on chip has it."""
    config = host_ip.program.config
    run_scenario("c_host", host_ip, packaged_verilog(config, accelerator_verilog(config)))
