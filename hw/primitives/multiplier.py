"""The multiplier with input, pipeline and output registers."""

from .families import family_of


__all__ = ("multiply",)


def multiply(m, a, b, *, load_b, enable=1, platform):
    """Add a multiplier with input, pipeline and output register to ``m``.

    The registers are those of a DSP block. After a reset, what comes out before the first product
    is left to the family.

    Parameters
    ----------
    m : Module
        Module that gets the multiplier.
    a : signed Value
        First factor, registered every cycle.
    b : signed Value
        Second factor, registered when ``load_b`` is set and held otherwise.
    load_b : Value, 1 bit
        Clock enable of the register of ``b``; not without ``enable``.
    enable : Value, 1 bit
        Clock enable of the other registers.
    platform : object
        What ``elaborate`` was given; its family makes the multiplier.

    Returns
    -------
    Value, signed
        ``a * b``, :data:`hw.primitives.MULTIPLIER_LATENCY` cycles later.
    """
    return family_of(platform).multiply(
        m, a, b, load_b=load_b, enable=enable, platform=platform)
