"""The engine in a browser: its host in the worker, and `connect` for Python in other pages.

The only room with `js` and `pyodide` imports.
"""

from .connect import connect

__all__ = ["connect"]
