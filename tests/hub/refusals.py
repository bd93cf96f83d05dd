"""What a refusal says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hub.errors import HubError


def refusal(kind: type[HubError], act: Callable[[], object]) -> str:
    """The words of the error of this kind that `act` must raise."""
    with pytest.raises(kind) as caught:
        act()
    return str(caught.value)
