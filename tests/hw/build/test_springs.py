"""About where cells will lie."""

import numpy as np

from hw.build.springs import estimated_places, known_places


def _cell(bits, bel=None):
    return {"type": "LUT4", "attributes": {"BEL": bel} if bel else {},
            "port_directions": {"A": "input"}, "connections": {"A": bits}}


def test_a_chain_lies_evenly_between_its_ends():
    cells = {"left": _cell([1], "X10/Y22/EBR0"), "a": _cell([1, 2]), "b": _cell([2, 3]),
             "right": _cell([3], "X40/Y52/EBR1"), "alone": _cell(["0"])}
    known = known_places(cells)
    assert known == {"left": (10, 22), "right": (40, 52)}
    places = dict(zip(cells, estimated_places(cells, known), strict=True))
    for name, place in {"left": (10, 22), "a": (20, 32), "b": (30, 42), "right": (40, 52),
                        "alone": (25, 37)}.items():
        np.testing.assert_allclose(places[name], place, atol=0.01)


def test_nets_of_many_cells_do_not_pull():
    cells = {f"cell_{number}": _cell([1]) for number in range(30)}
    cells |= {"near": _cell([2], "X4/Y4/S"), "cell_0": _cell([1, 2]),
              "cell_1": _cell([1], "X90/Y90/S")}
    places = dict(zip(cells, estimated_places(cells, known_places(cells)), strict=True))
    np.testing.assert_allclose(places["cell_0"], (4, 4), atol=0.01)
