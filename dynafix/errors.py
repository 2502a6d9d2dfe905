"""What a person can mend, and what only we can."""


__all__ = (
    "UsageError",
    "VerificationError",
)


class UsageError(ValueError):
    """An option, file or folder that a person can mend; the message says how."""


class VerificationError(Exception):
    """Engines that must agree do not; the message says where, and how to look at it."""
