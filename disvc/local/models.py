"""The models of the demo: they are trained here, on the iris data that scikit-learn has, and stand for URIs.

`kserve` documents its examples with the first one's URI, and the rows `EXAMPLE_ROWS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from sklearn.base import ClassifierMixin

IRIS: Final = "gs://kfserving-examples/models/sklearn/1.0/model"
IRIS_2: Final = "gs://kfserving-examples/models/sklearn/2.0/model"
"""One that was told that the last class weighs ten times as much, so that its answers differ."""
BROKEN: Final = "gs://kfserving-examples/models/sklearn/broken/model"
"""Half of a model's file: it is fetched, and does not load."""

EXAMPLE_ROWS: Final = [[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6]]
"""The request of KServe's documentation: the first model answers [1, 1], the second [2, 2]."""

_FILE: Final = "model.joblib"


@dataclass(frozen=True)
class TrainedModel:
    """A folder with a model, the URI that it stands for, and what it is, in words."""

    uri: str
    folder: Path
    words: str


def train(folder: Path) -> list[TrainedModel]:
    """Train the models into a folder; this takes a second or two of CPU, most of it to import scikit-learn."""
    import joblib
    from sklearn.datasets import load_iris
    from sklearn.svm import SVC

    rows, classes = load_iris(return_X_y=True)
    models: dict[str, ClassifierMixin] = {IRIS: SVC(), IRIS_2: SVC(class_weight={2: 10})}
    trained = []
    for number, (uri, model) in enumerate(models.items(), start=1):
        path = folder / f"iris-{number}"
        path.mkdir(parents=True)
        model.fit(rows, classes)
        joblib.dump(model, path / _FILE)
        right = model.score(rows, classes)
        words = f"{model} trained on the {len(rows)} rows of iris ({right:.0%} of them right)"
        trained.append(TrainedModel(uri, path, words))
    broken = folder / "iris-broken"
    broken.mkdir()
    whole = (trained[0].folder / _FILE).read_bytes()
    (broken / _FILE).write_bytes(whole[: len(whole) // 2])
    return [*trained, TrainedModel(BROKEN, broken, "the first half of the first model's file, which does not load")]
