"""Annotates video corpora with 68-point facial landmark tracks.

This module is what `import facetracks` gives. It loads neither torch nor Beam by itself: a
name of `__all__` is imported when it is first used.
"""

from __future__ import annotations

__all__ = ["__version__"]

#: The version of this package.
__version__ = "0.1.0"
