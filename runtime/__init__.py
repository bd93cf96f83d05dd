"""The engine: formats, storage, tokens, KV pages, sampling policy and the OpenAI protocol.

Standard library only (jinja2 is imported when a chat template is rendered) and relative imports
only, so the same files run in CPython and, packed under any name, in Pyodide. It knows nothing of
compilers, sites or publishing, and never asks which host it runs on: whoever boots passes the
executor, the storage and the tokenizer in.
"""
