"""What goes wrong when a request is made into a grammar.

GrammarError         what is asked for is refused: ModelpressError "bad_request", naming a field
Unsatisfiable        no text matches; caught where another choice is left
"""

from __future__ import annotations

from ..errors import ModelpressError


class GrammarError(ModelpressError):
    """A "bad_request" whose `details.param` is the path of what is refused."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__("bad_request", f"{param}: {message}", details={"param": param})


class Unsatisfiable(Exception):
    """No text matches."""


def refused(param: str, message: str) -> GrammarError:
    """`param` is asked for and cannot be had; `message` says what it is and what to do."""
    return GrammarError(param, message)
