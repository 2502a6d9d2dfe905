"""``python -m dynafix`` is the command ``dynafix``."""

from .cli import main


__all__ = ()


if __name__ == "__main__":
    main()
