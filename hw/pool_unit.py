"""Maximum over windows of results that come line by line, before they are written."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .primitives import RowMemory


__all__ = (
    "PoolUnit",
    "geometry_layout",
)


def geometry_layout(depth):
    """Return the layout of the geometry of a pooling; kernel and stride are less one."""
    return data.StructLayout({
        "kernel": 2,    # at most one more than the stride
        "stride": 2,
        "x": 2,         # columns and lines of a window before the first ones
        "y": 2,
        "first": 1,     # the first line is the first of a window
        "right": 1,     # the last column, and the last line, end a window
        "bottom": 1,
        "row": range(depth),
        "signed": 1,
    })


class _Axis:
    """Where a position along one axis stands in its windows.

    ``ends``: it ends a window. ``fresh``: of that window nothing came before. ``starts``: the next
    window starts at it, or with it alone.
    """

    def __init__(self, name, kernel, stride):
        self._stride = stride
        self.phase = Signal(2, name=f"{name}_phase")
        self.first = Signal(name=f"{name}_first")
        overlap = kernel > stride
        begins = self.phase == 0
        self.ends = Mux(overlap, begins & ~self.first, self.phase == kernel)
        self.fresh = self.first | (begins & ~overlap)
        self.starts = self.first | begins

    @property
    def following(self):
        """Phase of the position after this one."""
        return Mux(self.phase == self._stride, 0, self.phase + 1)


class PoolUnit(wiring.Component):
    """Take the maximum over windows of rows of codes, of which one more than the stride overlap.

    Rows come line by line. A register holds the maximum of a window over the columns of a line so
    far, the line buffer that of a window over its lines so far, one row for each window of a line;
    what it holds stays from one instruction to the next. Windows that overlap have one line, or
    column, in common: with it the old maximum is complete, and it alone is the new one.

    Parameters
    ----------
    lanes : int
        Lanes.
    code_width : int
        Bits of a code.
    depth : int
        Rows of the line buffer.

    Members
    -------
    load : In(1)
        Take ``geometry``, for the steps that come.
    geometry : In(geometry_layout(depth))
        Geometry of the pooling.
    step : In(1)
        One cycle later, ``i`` is a row.
    line_last, in_last_line : In(1)
        It is the last of its line, in the last line.
    i : In(ArrayLayout(code_width, lanes))
        Codes.
    o_valid : Out(1)
        ``o`` holds the maximum of a window, :attr:`latency` cycles after the step that ends it.
    o : Out(ArrayLayout(code_width, lanes))
        Codes.
    """

    latency = 2

    def __init__(self, *, lanes, code_width, depth):
        self.lanes = lanes
        self.code_width = code_width
        self.depth = depth
        row = data.ArrayLayout(code_width, lanes)
        super().__init__({
            "load": In(1),
            "geometry": In(geometry_layout(depth)),
            "step": In(1),
            "line_last": In(1),
            "in_last_line": In(1),
            "i": In(row),
            "o_valid": Out(1),
            "o": Out(row),
        })

    def elaborate(self, platform):
        m = Module()
        geometry = Signal(geometry_layout(self.depth))
        x = _Axis("x", geometry.kernel, geometry.stride)
        y = _Axis("y", geometry.kernel, geometry.stride)
        column = Signal(range(self.depth))
        x_ends = x.ends | (self.line_last & geometry.right)
        y_ends = y.ends | (self.in_last_line & geometry.bottom)
        with m.If(self.load):
            m.d.sync += [
                geometry.eq(self.geometry), column.eq(self.geometry.row),
                x.phase.eq(self.geometry.x), x.first.eq(1),
                y.phase.eq(self.geometry.y), y.first.eq(self.geometry.first),
            ]
        with m.Elif(self.step & self.line_last):
            m.d.sync += [
                column.eq(geometry.row),
                x.phase.eq(geometry.x), x.first.eq(1),
                y.phase.eq(y.following), y.first.eq(0),
            ]
        with m.Elif(self.step):
            m.d.sync += [
                column.eq(column + x_ends), x.phase.eq(x.following), x.first.eq(0)]

        # step ── over columns (held) ── over lines (line buffer) ── o
        across = Signal(data.StructLayout({
            "valid": 1, "ends": 1, "fresh": 1, "starts": 1}))
        down = Signal(data.StructLayout({
            "valid": 1, "ends": 1, "fresh": 1, "starts": 1, "signed": 1,
            "column": range(self.depth)}))
        following = Signal.like(down)
        m.d.sync += [
            across.eq(Cat(self.step, x_ends, x.fresh, x.starts)),
            down.eq(Cat(
                self.step & x_ends, y_ends, y.fresh, y.starts, geometry.signed, column)),
            following.eq(down),
        ]
        m.submodules.lines = lines = RowMemory(
            columns=1, column_width=self.lanes * self.code_width, depth=self.depth)
        m.d.comb += [
            lines.r_en.eq(self.step & x_ends),
            lines.r_row.eq(column),
            self.o_valid.eq(following.valid & following.ends),
        ]
        m.d.sync += [
            lines.w_en.eq(following.valid),
            lines.w_row.eq(following.column),
        ]
        # With the upper bit of signed codes inverted, all are compared as unsigned ones.
        for lane in range(self.lanes):
            code = self.i[lane] ^ (down.signed << (self.code_width - 1))
            held, wide = Signal(self.code_width), Signal(self.code_width)
            larger = code > held
            with m.If(across.valid):
                m.d.sync += wide.eq(Mux(across.fresh | larger, code, held))
                with m.If(across.starts | larger):
                    m.d.sync += held.eq(code)
            before = lines.r_data.word_select(lane, self.code_width)
            largest = Mux(following.fresh | (wide > before), wide, before)
            m.d.comb += self.o[lane].eq(largest ^ (following.signed << (self.code_width - 1)))
            m.d.sync += lines.w_data.word_select(lane, self.code_width).eq(
                Mux(following.starts, wide, largest))
        return m
