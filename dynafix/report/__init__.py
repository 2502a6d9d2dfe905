"""The report: one HTML file that shows what a run found out, and loads nothing."""

from .page import write_report


__all__ = ("write_report",)
