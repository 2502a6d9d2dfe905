"""From a design to a file that a board can be configured with.

Import the modules: the tools, the boards and Amaranth's platforms are loaded only where they are
used.
"""
