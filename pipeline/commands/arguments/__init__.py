"""The options of the commands, in modules by theme, which load nothing heavy.

A function adds the options of a command to its parser; its docstring is the command's help: title,
description, examples. `pipeline/commands/NAME.py` has `run`, which does the work.
"""
