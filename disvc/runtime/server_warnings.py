"""What an API server warns of: `Warning` headers, code 299, logged once for each distinct text.

The server answers with them beside its result: fields that it does not know and has dropped, deprecated APIs, and what
admission policies and webhooks have to say. As client-go's handlers do, other codes are passed over.

https://kubernetes.io/blog/2020/09/03/warnings/, https://www.rfc-editor.org/rfc/rfc7234#section-5.5
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping

_REMEMBERED: Final = 1000
"""A policy may name the object in its text: memory must not grow with each of them."""

_WARNING = re.compile(r'(\d{3}) [^\s"]+ "((?:[^"\\]|\\.)*)"(?: "[^"]*")?')
_ESCAPED = re.compile(r"\\(.)")

_log = structlog.get_logger("disvc.client")


class ServerWarnings:
    """Logs what servers warn of; several clients may share one."""

    def __init__(self) -> None:
        self._logged: OrderedDict[str, None] = OrderedDict()  # the one that came longest ago first

    def note(self, call: str, headers: Mapping[str, str]) -> None:
        """Log the warnings of an answer that are new; `call` says what was asked."""
        value = headers.get("warning")
        if value is None:
            return
        for code, text in _WARNING.findall(value):
            warning = _ESCAPED.sub(r"\1", text)
            if code != "299" or not warning:
                continue
            if warning not in self._logged:
                _log.warning("the API server warns", warning=warning, call=call)
            self._logged[warning] = None
            self._logged.move_to_end(warning)
            if len(self._logged) > _REMEMBERED:
                self._logged.popitem(last=False)
