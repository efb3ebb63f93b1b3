"""What the demo writes: what happens when it happens, whether promises held, and a table in the end.

On a terminal with colours; elsewhere plain lines.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from disvc.local.demo.summary import Line

_PLAIN_WIDTH: Final = 120
"""Of titles and tables, where no terminal says what fits."""


@dataclass(frozen=True)
class _Waiting:
    """A line that is new each time that it is drawn."""

    text: str
    progress: Callable[[], str]

    def __rich__(self) -> str:
        return f"{self.text}{self.progress()}"


class Narrator:
    """Writes to a console; the times are seconds since it was made."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        if not self._console.is_terminal:
            self._console.width = _PLAIN_WIDTH
        self._since = time.monotonic()
        self.broken: list[str] = []
        """The promises that did not hold."""
        self.progress: Callable[[], str] = str
        """Says what goes on beside that."""

    def title(self, text: str) -> None:
        """Begin a chapter."""
        self._console.print()
        self._console.rule(f"[bold]{text}", align="left")

    def say(self, text: str, style: str = "") -> None:
        """Write a paragraph, which may have several lines."""
        self._console.print(text, style=style or None, markup=False)

    def yaml(self, text: str) -> None:
        """Show a manifest."""
        self._console.print(Syntax(text.rstrip(), "yaml", background_color="default"))

    def tell(self, text: str, style: str = "") -> None:
        """Write what has just happened, with the time."""
        self.say(f"{time.monotonic() - self._since:6.1f} s  {text}", style)

    def promise(self, has_held: bool, text: str) -> None:
        """Write whether a promise has held, and remember where it has not."""
        self.tell(f"{'✓' if has_held else '✗ NOT SO:'} {text}", "green" if has_held else "bold red")
        if not has_held:
            self.broken.append(text)

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Show what is waited for, and what `progress` says, on a terminal."""
        with self._console.status(_Waiting(text, self.progress)):
            yield

    def summary(self, lines: Sequence[Line], versions: Sequence[str]) -> None:
        """Write the table of all requests."""
        terminal = self._console.is_terminal
        table = Table(box=box.SIMPLE_HEAD if terminal else None, pad_edge=False)
        for column in ("phase", "protocol"):
            table.add_column(column, no_wrap=True)
        for column in ("requests", "failed", "p50 ms", "p99 ms", *(f"answers of {version}" for version in versions)):
            table.add_column(column, justify="right")
        for line in lines:
            numbers = f"{line.requests}", f"{line.failures}", f"{line.p50_ms:.1f}", f"{line.p99_ms:.1f}"
            style = "red" if line.failures else None
            table.add_row(line.phase, line.protocol, *numbers, *map(str, line.answers), style=style)
        self._console.print(table)
