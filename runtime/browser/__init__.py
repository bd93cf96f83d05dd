"""The engine's host in a browser's worker: the only room with `js` and `pyodide` imports."""
