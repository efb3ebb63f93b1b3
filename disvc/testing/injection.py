"""The faults that are in force: which of them strikes a request or a watch event.

Faults are asked in the order in which they were injected. A `Delay` or `Duplicate` that strikes lets the next
ones be asked too; any other fault decides what happens, and those behind it are not asked.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from disvc.testing.faults import Answer, Cut, Delay, Duplicate, Fault, HalfOpen, LoseAnswer, WatchError
from disvc.testing.match import APIRequest, Match, WatchEvent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random


class Injection:
    """One fault in force; what `FaultProxy.inject` returns.

    `count` says how often it struck. A fault with a position (`after_events`, `after_bytes`) is counted when
    the stream gets there, not when the request is made.
    """

    def __init__(
        self, match: Match, fault: Fault, *, times: int | None, probability: float, random: Random | None
    ) -> None:
        if not 0 <= probability <= 1:
            raise ValueError(f"probability is {probability}; it goes from 0 to 1")
        if probability < 1 and random is None:
            raise ValueError("a probability needs random=Random(seed), so that the run can be repeated")
        self.of_events = match.event is not None or isinstance(fault, Duplicate)
        if self.of_events:
            _check_strikes_events(fault)
        elif isinstance(fault, Cut) and fault.torn and fault.after_events is None:
            raise ValueError("Cut(torn=True) needs after_events, or a Match with an event predicate")
        self.has_position = not self.of_events and _has_position(fault)
        self.match = match
        self.fault = fault
        self.count = 0
        self._times = times
        self._probability = probability
        self._random = random
        self._removed = False
        self._changed = asyncio.Event()

    def remove(self) -> None:
        """Strike no more. What it struck already stays struck: a half-open connection stays so."""
        self._removed = True

    async def struck(self, count: int = 1) -> None:
        """Wait until the fault has struck `count` times."""
        while self.count < count:
            self._changed.clear()
            await self._changed.wait()

    @property
    def spent(self) -> bool:
        """Whether it will never strike again."""
        return self._removed or (self._times is not None and self.count >= self._times)

    def strike(self) -> bool:
        """Count one strike; False, and nothing, where the fault was spent meanwhile."""
        if self.spent:
            return False
        self.count += 1
        self._changed.set()
        return True

    def chooses(self, request: APIRequest) -> bool:
        """Whether the fault is to strike this request, or may strike its events."""
        if self.spent or not self.match.matches(request):
            return False
        if self.of_events:
            return True
        if _needs_watch(self.fault) and request.verb != "watch":
            return False
        return self._is_drawn()

    def chooses_event(self, event: WatchEvent) -> bool:
        """Whether the fault is to strike this event of a request that it chooses."""
        return (self.match.event is None or self.match.event(event)) and self._is_drawn()

    def _is_drawn(self) -> bool:
        return self._random is None or self._random.random() < self._probability


@dataclass(frozen=True, slots=True)
class Struck:
    """What is to happen to one request or event.

    `deciding` is the fault that ends its normal course; where that has a position in the answer, it has not
    been counted yet, and `Injection.strike` is called when the position is reached.
    """

    delay: float
    copies: int
    faults: tuple[Fault, ...]
    deciding: Injection | None


UNTOUCHED = Struck(0.0, 1, (), None)


class Injections:
    """The faults in force, in the order in which they were injected."""

    def __init__(self) -> None:
        self._injections: list[Injection] = []

    def add(self, injection: Injection) -> None:
        """Put a fault into force, behind those that are."""
        self._injections.append(injection)

    def clear(self) -> None:
        """Remove every fault."""
        for injection in self._injections:
            injection.remove()
        self._injections.clear()

    def strike_request(self, request: APIRequest) -> Struck:
        """Say what happens to a request, and count it."""
        chosen = (i for i in self._in_force() if not i.of_events and i.chooses(request))
        return _strike(chosen)

    def strike_event(self, request: APIRequest, line: bytes) -> Struck:
        """Say what happens to one line of a watch, and count it."""
        asked = [i for i in self._in_force() if i.of_events and i.chooses(request)]
        if not asked:
            return UNTOUCHED
        try:
            event = WatchEvent.parse(line)
        except msgspec.DecodeError:
            return UNTOUCHED  # what the client makes of it is the client's own affair
        return _strike(i for i in asked if i.chooses_event(event))

    def _in_force(self) -> list[Injection]:
        if any(injection.spent for injection in self._injections):
            self._injections = [i for i in self._injections if not i.spent]
        return self._injections


def _strike(chosen: Iterator[Injection]) -> Struck:
    delay, copies, faults = 0.0, 1, []
    for injection in chosen:
        fault = injection.fault
        if not injection.has_position:
            injection.strike()
            faults.append(fault)
        match fault:
            case Delay(seconds):
                delay += seconds
            case Duplicate():
                copies *= 2
            case _:
                return Struck(delay, copies, tuple(faults), injection)
    return Struck(delay, copies, tuple(faults), None) if faults else UNTOUCHED


def _has_position(fault: Fault) -> bool:
    """Whether the fault strikes somewhere in the answer to a request."""
    match fault:
        case Cut() | HalfOpen():
            return fault.after_bytes is not None or fault.after_events is not None
        case WatchError():
            return True
        case _:
            return False


def _needs_watch(fault: Fault) -> bool:
    match fault:
        case Cut() | HalfOpen():
            return fault.after_events is not None
        case _:
            return isinstance(fault, WatchError)


def _check_strikes_events(fault: Fault) -> None:
    match fault:
        case Answer() | LoseAnswer():
            raise ValueError(f"{fault} strikes requests: drop the event predicate from the Match")
        case Cut() | HalfOpen() if _has_position(fault):
            raise ValueError(f"{fault} with an event predicate strikes at that event: drop the position")
        case WatchError() if fault.after_events:
            raise ValueError(f"{fault} with an event predicate strikes at that event: drop after_events")
