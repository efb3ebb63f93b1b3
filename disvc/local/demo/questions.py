"""What the clients of the demo ask, and what scikit-learn itself answers, by each of two models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Row = list[float]


@dataclass(frozen=True)
class Question:
    """Rows to classify, and the classes by each version's model."""

    rows: Sequence[Row]
    answers: Mapping[str, Sequence[int]]

    def version_of(self, classes: Sequence[int]) -> str:
        """Return which version's model gives these classes, "" where none does."""
        return next((version for version, answer in self.answers.items() if list(answer) == list(classes)), "")


def pair(rows: Sequence[Row], answers: Mapping[str, Sequence[int]]) -> list[Question]:
    """Make a question of each row, together with one that the versions classify differently.

    So an answer always tells whose it is. Raises `ValueError` where the versions agree on every row.
    """
    telling = [n for n in range(len(rows)) if len({answer[n] for answer in answers.values()}) == len(answers)]
    if not telling:
        raise ValueError("the models agree on every row: no answer would tell which of them gave it")
    questions = []
    for number, row in enumerate(rows):
        other = telling[number % len(telling)]
        both = {version: [answer[number], answer[other]] for version, answer in answers.items()}
        questions.append(Question([row, rows[other]], both))
    return questions


def answers(folders: Mapping[str, Path], rows: Sequence[Row]) -> dict[str, list[int]]:
    """Return the classes of rows by the model in each version's folder, as scikit-learn itself gives them."""
    import joblib

    models = {version: joblib.load(folder / "model.joblib") for version, folder in folders.items()}
    return {version: model.predict(rows).tolist() for version, model in models.items()}


def iris() -> list[Row]:
    """Return the rows of iris, which scikit-learn has."""
    from sklearn.datasets import load_iris

    rows: list[Row] = load_iris().data.tolist()
    return rows
