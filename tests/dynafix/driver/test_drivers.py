"""Drivers against the Verilog: the shipped LeNet, errors, steps of the host."""

import pytest


pytestmark = pytest.mark.verilator


@pytest.mark.parametrize("scenario", ["c_images", "c_errors", "python_images", "python_errors"])
def test_lenet(scenario, lenet_ip, run_scenario):
    run_scenario(scenario, lenet_ip)


@pytest.mark.parametrize("scenario", ["c_host", "python_host"])
def test_host(scenario, host_ip, run_scenario):
    run_scenario(scenario, host_ip)
