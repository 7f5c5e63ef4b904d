"""The options of the commands, in modules by theme, which load nothing heavy.

`facetracks --help` and wrong usage are answered from here. `pipeline/commands/NAME.py` has
`run`, which does the work; the command's name joins the two.
"""
