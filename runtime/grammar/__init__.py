"""Grammars: schemas, regular expressions and tags made into rules that a host's matcher enforces.

Everything becomes one grammar text (`rules.py`), so both hosts compile the same and what is refused
is refused here, by path, before a library sees it.
"""
