"""The model of a model server: which file it loads, in whose words it complains, and what it answers."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import joblib
import pytest
from kserve.errors import InferenceError, ModelMissingError

from disvc.local.models import BROKEN, EXAMPLE_ROWS, IRIS, IRIS_2, train
from disvc.local.server import SKLearnModel

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {model.uri: model.folder for model in train(tmp_path_factory.mktemp("models"))}


def loaded(folder: Path) -> SKLearnModel:
    model = SKLearnModel("iris", str(folder))
    assert model.load()
    return model


def test_the_two_models_of_iris_answer_what_they_are_said_to(folders: dict[str, Path]) -> None:
    payload = {"instances": EXAMPLE_ROWS}
    assert loaded(folders[IRIS]).predict(payload) == {"predictions": [1, 1]}
    assert loaded(folders[IRIS_2]).predict(payload) == {"predictions": [2, 2]}


def test_a_model_may_be_a_pickle_and_files_of_other_kinds_do_not_count(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copy(folders[IRIS] / "model.joblib", tmp_path / "model.pkl")
    (tmp_path / "README.md").touch()
    assert loaded(tmp_path).predict({"instances": EXAMPLE_ROWS}) == {"predictions": [1, 1]}


def test_no_model_two_models_and_half_a_model_are_errors(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match=str(tmp_path)):
        loaded(tmp_path)
    for name in ("model.joblib", "model.pickle"):
        (tmp_path / name).touch()
    with pytest.raises(RuntimeError, match="More than one model file is detected"):
        loaded(tmp_path)
    with pytest.raises(Exception, match=r".") as caught:
        loaded(folders[BROKEN])
    assert not isinstance(caught.value, ModelMissingError)


def test_a_request_that_the_model_cannot_read_is_the_callers_error(folders: dict[str, Path]) -> None:
    with pytest.raises(InferenceError, match="4 features"):
        loaded(folders[IRIS]).predict({"instances": [[1.0, 2.0]]})


def test_a_server_may_be_told_to_answer_probabilities(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.datasets import load_iris
    from sklearn.naive_bayes import GaussianNB

    joblib.dump(GaussianNB().fit(*load_iris(return_X_y=True)), tmp_path / "model.joblib")
    monkeypatch.setenv("PREDICT_PROBA", "true")
    (row, _) = loaded(tmp_path).predict({"instances": EXAMPLE_ROWS})["predictions"]
    assert len(row) == 3
    assert sum(row) == pytest.approx(1)
    assert loaded(folders[IRIS]).predict({"instances": EXAMPLE_ROWS}) == {"predictions": [1, 1]}  # it has none
