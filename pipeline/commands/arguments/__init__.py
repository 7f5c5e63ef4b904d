"""What each command takes: a module a command, which loads nothing heavy.

`facetracks --help` and wrong usage are answered from here. `pipeline/commands/NAME.py` has
`run`, which does the work; `set_defaults(module="NAME")` joins the two.
"""
