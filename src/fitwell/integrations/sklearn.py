"""scikit-learn: fitwell's training as a classifier and a regressor, for pipelines, searches and ensembles.

    from fitwell.integrations.sklearn import FitwellClassifier
    cross_val_score(FitwellClassifier(random_state=0), X, y)

Everything happens in memory: no run directory, no output, no global state changed.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_X_y, validate_data
from torch import Tensor

from fitwell import data as datasets
from fitwell.data.contract import Split
from fitwell.errors import DataError
from fitwell.models import family
from fitwell.plan import Auto, DataPlan, Plan
from fitwell.training.evaluation import outputs_of, probabilities
from fitwell.training.loop import Silent, train
from fitwell.training.prepare import load, prepare
from fitwell.training.process import process_kept
from fitwell.training.threads import threads

# torch's random stream and thread count belong to the process: estimators in several threads take turns.
_ONE_AT_A_TIME = threading.Lock()
Task = Literal["classes", "number"]
_NOT_OF_THE_PLAN = ("class_weight", "random_state")


@dataclass(kw_only=True, eq=False, repr=False)
class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators share: the settings, named as in ``Plan``; training; the net's outputs."""

    hidden: tuple[int, ...] | Auto = "auto"
    epochs: int | Auto = "auto"
    lr: float | Auto = "auto"
    batch_size: int | Auto = "auto"
    optimizer: str = "adamw"
    schedule: str = "one-cycle"
    dropout: float | Auto = "auto"
    weight_decay: float | Auto = "auto"
    validation: float | int | Auto = "auto"
    patience: int | Auto | None = "auto"
    random_state: int | np.random.RandomState | None = None
    device: str = "auto"
    threads: int | Auto = 1

    def _read(self, X: Any, y: Any, **checks: Any) -> tuple[Any, np.ndarray]:
        """X and y as scikit-learn wants them checked; a table stays a DataFrame."""
        checks |= {"ensure_min_samples": 2}
        if not _is_table(X):
            X, y = validate_data(self, X, y, **checks)
            return X, y
        X, y = validate_data(self, X, y, skip_check_array=True)
        _, y = check_X_y(np.zeros((len(X), 1)), y, estimator=self, **checks)
        return X, y

    def _train(self, X: Any, y: np.ndarray, task: Task, **further: Any) -> None:
        """Train a net and keep it with all that predicting needs, on the CPU, as ``..._`` attributes."""
        plan = self._plan((X, y), task).change(**further)
        with _ONE_AT_A_TIME, process_kept():
            job, _ = prepare(plan, load(plan))
            train(job, Silent())
        job.restore_best()
        # In float64 a sample's prediction does not depend on the samples beside it (to about 1e-15).
        self.model_ = job.model.cpu().double().eval()
        self.plan_ = job.plan.change(source="memory")  # the plan as decided, without the data
        self.shape_, self.encoder_ = job.data.shape, job.data.encoder
        self.n_iter_ = job.epoch

    def _plan(self, source: Any, task: Task) -> Plan:
        settings = self.get_params(deep=False)
        seed = int(check_random_state(self.random_state).randint(2**31))
        chosen = {name: value for name, value in settings.items() if name not in _NOT_OF_THE_PLAN}
        return Plan(data=DataPlan(source=source, task=task, test=0), seed=seed).change(**chosen)

    def _outputs(self, X: Any) -> Tensor:
        """What the net says of each sample, (N, K) float64: logits or standardised numbers."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, skip_check_array=self.encoder_["encoding"] == "columns")
        source = (X, None) if isinstance(X, pd.DataFrame) else X
        samples = datasets.read(DataPlan(source=source), self.shape_)
        fields = {
            name: values.double() if values.is_floating_point() else values
            for name, values in datasets.encode(self.encoder_, samples).items()
        }
        with _ONE_AT_A_TIME, threads(int(self.plan_.threads)):
            everyone = Split(fields, torch.arange(samples.count))
            return outputs_of(family(self.plan_.model.family), self.model_, everyone)


def _is_table(X: Any) -> bool:
    """Whether it is a DataFrame in which not every column is of numbers."""
    return isinstance(X, pd.DataFrame) and not all(map(pd.api.types.is_numeric_dtype, X.dtypes))


@dataclass(kw_only=True, eq=False, repr=False)
class FitwellClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A neural network for classes, whose size, rate and length are chosen from the data.

    Numbers are standardised. A DataFrame with a column that holds no numbers (texts, categories, dates) is
    read as a table, in which values may be missing.

    Args:
        hidden: units of each hidden layer, as (256, 128); () is a linear model.
        epochs: passes over the training samples, at most.
        lr: peak learning rate; "auto" looks for one, which costs a hundred steps.
        batch_size: samples a step.
        optimizer: adamw, adam, sgd, rmsprop, or any other of torch.optim by name.
        schedule: one-cycle, cosine, constant, step, exponential or plateau.
        dropout: share of hidden units that is dropped in each step.
        weight_decay: how strongly weights are pulled to zero.
        validation: share or number of samples held out to stop early and keep the best weights; 0 for none;
            "auto" is 15 %, and none of fewer than 20 samples.
        patience: epochs without a better validation loss before it stops; None: it never stops early.
        class_weight: None, "balanced", or a weight for each class, {class: weight}.
        random_state: an int gives the same net each time; None draws anew from numpy's random stream.
        device: "auto" takes a GPU where there is one; predictions are made on the CPU.
        threads: of the CPU; one suits small nets and many side by side; "auto" measures.

    Attributes:
        classes_: the classes, sorted.
        n_features_in_: the number of columns of X.
        feature_names_in_: their names, if X was a DataFrame.
        n_iter_: the epochs that were trained.
        plan_: the plan with everything that was decided.
        model_: the trained module, on the CPU, in float64.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> FitwellClassifier(epochs=30, random_state=0).fit(X, y).score(X, y) > 0.9
        True
    """

    class_weight: str | dict[Any, float] | None = None

    def fit(self, X: Any, y: Any) -> Self:
        """Train on samples X (N, F) and their classes y (N,).

        Raises:
            ValueError: X or y can't be learned from, or a setting is wrong; a DataError or a PlanError says
                how to mend it.
        """
        X, y = self._read(X, y)
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise DataError(
                f"y holds one class only: {classes[0]}",
                "at least two classes: there is nothing to tell apart",
                "add samples of another class",
            )
        further = {}
        if self.class_weight is not None:
            weights = compute_class_weight(self.class_weight, classes=classes, y=y)
            weights = weights / weights[codes].mean()  # so that the loss keeps its scale
            further["class_weights"] = tuple(weights.tolist())
        self._train(X, codes, "classes", **further)
        self.classes_ = classes
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, (N, number of classes), in the order of ``classes_``."""
        outputs = self._outputs(X)
        chances: np.ndarray = probabilities(outputs, self.shape_.target).numpy()
        return chances

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each sample, (N,)."""
        chances = self.predict_proba(X)
        classes: np.ndarray = self.classes_[chances.argmax(1)]
        return classes


@dataclass(kw_only=True, eq=False, repr=False)
class FitwellRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A neural network for one number or several, whose size, rate and length are chosen from the data.

    Numbers are standardised. A DataFrame with a column that holds no numbers (texts, categories, dates) is
    read as a table, in which values may be missing.

    Args:
        hidden, epochs, lr, batch_size, optimizer, schedule, dropout, weight_decay, validation, patience,
            random_state, device, threads: as for ``FitwellClassifier``.

    Attributes:
        n_outputs_: the numbers that are predicted for a sample.
        n_features_in_: the number of columns of X.
        feature_names_in_: their names, if X was a DataFrame.
        n_iter_: the epochs that were trained.
        plan_: the plan with everything that was decided.
        model_: the trained module, on the CPU, in float64; its outputs are standardised.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train on samples X (N, F) and their numbers y, (N,) or (N, K).

        Raises:
            ValueError: X or y can't be learned from, or a setting is wrong; a DataError or a PlanError says
                how to mend it.
        """
        X, y = self._read(X, y, multi_output=True, y_numeric=True)
        self._shape_of_y = y.shape[1:]
        self._train(X, y, "number")
        self.n_outputs_ = self.shape_.target.outputs
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The numbers of each sample, (N,) or (N, K) as y was."""
        outputs, target = self._outputs(X).numpy(), self.shape_.target
        numbers: np.ndarray = outputs * np.array(target.std) + np.array(target.mean)
        return numbers.reshape(-1, *self._shape_of_y)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
