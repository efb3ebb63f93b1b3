"""The parts of the demo: what it asks, how it asks, what it makes of the answers, and what it writes."""

from __future__ import annotations

import asyncio
import io
import math
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from disvc.local.demo.load import Load
from disvc.local.demo.narrator import Narrator
from disvc.local.demo.news import in_words
from disvc.local.demo.questions import Question, pair
from disvc.local.demo.summary import Line, Sample, lines, percentile, strays

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VERSIONS = ["model 1", "model 2"]


class TestQuestions:
    def test_each_has_a_row_that_the_versions_classify_differently(self) -> None:
        questions = pair([[1.0], [2.0], [3.0]], {"model 1": [0, 1, 2], "model 2": [0, 1, 1]})
        assert [list(question.rows) for question in questions] == [[[1.0], [3.0]], [[2.0], [3.0]], [[3.0], [3.0]]]
        for question in questions:
            for version, answer in question.answers.items():
                assert question.version_of(answer) == version

    def test_an_answer_that_no_version_gives_is_nobodys(self) -> None:
        assert Question([[1.0]], {"model 1": [0], "model 2": [1]}).version_of([2]) == ""

    def test_models_that_agree_on_everything_cannot_be_told_apart(self) -> None:
        with pytest.raises(ValueError, match="agree on every row"):
            pair([[1.0]], {"model 1": [0], "model 2": [0]})


def sample(phase: str = "a", protocol: str = "REST", seconds: float = 0.001, **fields: str) -> Sample:
    return Sample(phase, protocol, "host", seconds, **{"version": "" if "problem" in fields else "model 1", **fields})


class TestSummary:
    def test_there_is_a_line_for_each_phase_and_protocol_and_a_sum_for_each_protocol(self) -> None:
        found = lines([sample("b"), sample("b", "gRPC"), sample("a", "gRPC"), sample("a"), sample("b")], VERSIONS)
        assert [(line.phase, line.protocol, line.requests) for line in found] == [
            ("b", "REST", 2),
            ("b", "gRPC", 1),
            ("a", "REST", 1),
            ("a", "gRPC", 1),
            ("in all", "REST", 3),
            ("in all", "gRPC", 2),
        ]

    def test_failures_are_counted_and_neither_their_times_nor_their_answers_are(self) -> None:
        samples = [sample(), sample(version="model 2"), sample(seconds=9.0, problem="503")]
        assert lines(samples, VERSIONS)[0] == Line("a", "REST", 3, 1, p50_ms=1.0, p99_ms=1.0, answers=(1, 1))

    @pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 50.0), (0.99, 99.0), (1.0, 100.0)])
    def test_a_percentile_is_one_of_the_values(self, share: float, expected: float) -> None:
        assert percentile([float(n) for n in range(100, 0, -1)], share) == expected

    def test_there_is_no_percentile_of_nothing(self) -> None:
        assert math.isnan(percentile([], 0.5))

    def test_an_answer_of_another_version_than_expected_is_a_stray(self) -> None:
        expected = {("a", "REST"): {"model 1"}, ("b", "REST"): {"model 1", "model 2"}}
        stray = sample("a", version="model 2")
        assert strays([sample("a"), stray, sample("b", version="model 2"), sample("a", problem="503")], expected) == [
            stray
        ]


class Fake:
    """A client whose answers the test decides."""

    def __init__(self, protocol: str, answers: Sequence[Any]) -> None:
        self.protocol = protocol
        self.address = f"{protocol}'s"
        self._answers = iter(answers)
        self.may_answer = asyncio.Event()
        self.asked = 0

    async def ask(self, rows: Sequence[Sequence[float]]) -> tuple[list[int], str]:
        self.asked += 1
        answer = next(self._answers, [0])
        await self.may_answer.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer, "pod"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while True:
            if condition():
                return
            await asyncio.sleep(0.001)


class TestLoad:
    questions = (Question([[1.0]], {"model 1": [0], "model 2": [1]}),)

    async def test_requests_are_sent_when_they_are_due_whether_or_not_others_are_answered(self) -> None:
        slow, fast = Fake("REST", []), Fake("gRPC", [])
        fast.may_answer.set()
        load = Load([slow, fast], self.questions, rate=1000.0)
        async with load.running():
            await until(lambda: len(load.samples) >= 20)
            assert slow.asked >= 20
            assert {s.protocol for s in load.samples} == {"gRPC"}
            slow.may_answer.set()
        assert len(load.samples) == slow.asked + fast.asked, "the last answers are waited for"

    async def test_each_answer_is_checked_and_counted_under_the_phase_in_which_it_was_due(self) -> None:
        client = Fake("REST", [[0], [1], [7], OSError("refused")])
        load = Load([client], self.questions, rate=1000.0)
        load.phase = "first"
        async with load.running():
            await until(lambda: client.asked >= 4)
            load.phase = "second"
            client.may_answer.set()
        special = {s.problem or s.version: s for s in load.samples if s.version != "model 1"}
        assert set(special) == {
            "model 2",
            "answered [7], where the models say {'model 1': [0], 'model 2': [1]}",
            "OSError: refused",
        }
        assert {s.phase for s in special.values()} == {"first"}

    async def test_it_ends_at_once_where_the_block_fails(self) -> None:
        client = Fake("REST", [])  # which never answers
        load = Load([client], self.questions, rate=1000.0)

        async def fail() -> None:
            async with load.running():
                await until(lambda: client.asked > 0)
                raise ValueError("the block's")

        with pytest.raises(ValueError, match="the block's"):
            await fail()
        assert load.samples == []


class TestNarrator:
    def told(self, *, terminal: bool = False) -> tuple[Narrator, io.StringIO]:
        file = io.StringIO()
        return Narrator(Console(file=file, force_terminal=terminal, width=100, highlight=False, soft_wrap=True)), file

    def test_a_promise_that_does_not_hold_is_told_and_remembered(self) -> None:
        narrator, file = self.told()
        narrator.promise(True, "one")
        narrator.promise(False, "two")
        assert narrator.broken == ["two"]
        one, two = file.getvalue().splitlines()
        assert one.endswith("✓ one")
        assert two.endswith("✗ NOT SO: two")

    def test_without_a_terminal_there_are_plain_lines(self) -> None:
        narrator, file = self.told()
        narrator.title("Title")
        narrator.yaml("a: [b]")
        with narrator.waiting("for something"):
            narrator.tell("told [bold] as it is", "bold")
        narrator.summary([Line("phase", "REST", 3, 1, 1.25, 2.5, (1, 2))], VERSIONS)
        assert "\x1b" not in file.getvalue()
        assert "told [bold] as it is" in file.getvalue()
        assert "for something" not in file.getvalue()
        assert file.getvalue().splitlines()[-1].split() == ["phase", "REST", "3", "1", "1.2", "2.5", "1", "2"]

    def test_on_a_terminal_there_are_colours(self) -> None:
        narrator, file = self.told(terminal=True)
        narrator.promise(False, "two")
        assert "\x1b[1;31m" in file.getvalue()

    def test_on_a_terminal_what_is_waited_for_is_shown_with_how_the_load_fares(self) -> None:
        narrator, file = self.told(terminal=True)
        narrator.progress = lambda: ", and 5 requests were sent"
        with narrator.waiting("until it is ready"):
            pass
        assert "until it is ready, and 5 requests were sent" in file.getvalue()


def test_what_matters_of_children_is_told() -> None:
    backend = {"backend": {"service": {"name": "a-v1"}}}
    ingress = {"spec": {"rules": [{"host": "a.example.com", "http": {"paths": [backend]}}]}}
    assert in_words("Ingress", ingress) == "leads from a.example.com to a-v1"
    assert in_words("Service", {"spec": {"selector": {"disvc.group": "a-v1"}}}) == "leads to a-v1"
    isvc: dict[str, Any] = {"metadata": {}, "spec": {}}
    assert in_words("InferenceService", isvc) == "is starting"
    isvc["status"] = {"conditions": [{"type": "Ready", "status": "True"}]}
    assert in_words("InferenceService", isvc) == "is ready"
    isvc["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert in_words("InferenceService", isvc) == "is being deleted"
