"""scikit-learn: fitwell's training as a classifier and a regressor, for pipelines, searches and ensembles.

    from fitwell.integrations.sklearn import FitwellClassifier
    cross_val_score(FitwellClassifier(random_state=0), X, y)

Everything happens in memory: no run directory, no output, no global state changed.
"""

from __future__ import annotations

import threading
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_X_y, column_or_1d, validate_data
from torch import Tensor

from fitwell import data as datasets
from fitwell.data.contract import Split
from fitwell.errors import DataError
from fitwell.models import family
from fitwell.plan import DataPlan, Plan
from fitwell.training.evaluation import outputs_of, probabilities
from fitwell.training.loop import Silent, train
from fitwell.training.prepare import load, prepare
from fitwell.training.threads import threads

# torch's default random stream and thread count belong to the process: joblib's threads train in turn.
_ONE_AT_A_TIME = threading.Lock()
_NOT_OF_THE_PLAN = ("class_weight", "random_state")


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators share: settings named as in ``Plan``, training, and the net's outputs."""

    def __init__(  # noqa: PLR0913 - scikit-learn's convention: one for each setting
        self,
        *,
        hidden: Any = "auto",
        epochs: Any = "auto",
        lr: Any = "auto",
        batch_size: Any = "auto",
        optimizer: str = "adamw",
        schedule: str = "one-cycle",
        dropout: Any = "auto",
        weight_decay: Any = "auto",
        validation: Any = "auto",
        patience: Any = "auto",
        random_state: Any = None,
        device: str = "auto",
        threads: Any = 1,
    ) -> None:
        self.hidden = hidden
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.schedule = schedule
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.validation = validation
        self.patience = patience
        self.random_state = random_state
        self.device = device
        self.threads = threads

    def _read(self, X: Any, y: Any, **checks: Any) -> tuple[Any, np.ndarray]:
        """X and y as scikit-learn wants them checked; a table stays a DataFrame."""
        checks |= {"ensure_min_samples": 2}
        if not _is_table(X):
            X, y = validate_data(self, X, y, **checks)
            return X, y
        X, y = validate_data(self, X, y, skip_check_array=True)
        _, y = check_X_y(np.zeros((len(X), 1)), y, estimator=self, **checks)
        return X, y

    def _train(self, X: Any, y: np.ndarray, task: str, class_weights: np.ndarray | None = None) -> None:
        """Train a net and keep it with all that predicting needs, on the CPU, as ``..._`` attributes."""
        plan = self._plan((X, y), task)
        devices = list(range(torch.cuda.device_count()))
        with _ONE_AT_A_TIME, torch.random.fork_rng(devices=devices), threads(torch.get_num_threads()):
            job, _ = prepare(plan.change(class_weights=class_weights is not None), load(plan))
            if class_weights is not None:
                job.model.criterion.weights = torch.from_numpy(class_weights).float().to(job.device)
            train(job, Silent())
        job.restore_best()
        # In float64 a sample's prediction does not depend on the samples beside it (to about 1e-15).
        self.model_ = job.model.cpu().double().eval()
        self.plan_ = job.plan.change(source="memory")  # the plan as decided, without the data
        self.shape_, self.encoder_ = job.data.shape, job.data.encoder
        self.n_iter_ = job.epoch

    def _plan(self, source: Any, task: str) -> Plan:
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
        with threads(self.plan_.threads):
            everyone = Split(fields, torch.arange(samples.count))
            return outputs_of(family(self.plan_.model.family), self.model_, everyone)


def _is_table(X: Any) -> bool:
    """Whether it is a DataFrame in which not every column is of numbers."""
    return isinstance(X, pd.DataFrame) and not all(map(pd.api.types.is_numeric_dtype, X.dtypes))


class FitwellClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A neural network for classes that chooses its size, learning rate and length from the data.

    Numbers are standardised; a DataFrame with columns of texts, categories or dates is read as a table, in
    which values may be missing.

    Args:
        hidden: units of each hidden layer, as (256, 128); () is a linear model.
        epochs: passes over the training samples, at most.
        lr: peak learning rate; "auto" finds it by a range test.
        batch_size: samples a step.
        optimizer: adamw, adam, sgd, rmsprop, or any of torch.optim by name.
        schedule: one-cycle, cosine, constant, step, exponential or plateau.
        dropout: share of hidden units that is dropped in each step.
        weight_decay: pull of the weights to zero.
        validation: share or number of samples held out to stop early and to keep the best weights; 0 for
            none; "auto" is 15 %, none of fewer than 20 samples.
        patience: epochs without a better validation loss before it stops; None never stops early.
        class_weight: None, "balanced", or a dictionary {class: weight}.
        random_state: an int makes it reproducible; None draws anew from numpy's random stream.
        device: "auto" takes a GPU where there is one; predictions are made on the CPU.
        threads: of the CPU; "auto" measures. One suits small nets, and many estimators side by side.

    Attributes:
        classes_: the classes, sorted.
        n_features_in_: columns of X.
        feature_names_in_: their names, if X was a DataFrame.
        n_iter_: epochs that were trained.
        plan_: the plan with everything that was decided.
        model_: the trained torch module, in float64 on the CPU.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> FitwellClassifier(epochs=20, random_state=0).fit(X, y).score(X, y) > 0.9
        True
    """

    def __init__(self, *, class_weight: Any = None, hidden: Any = "auto", **_: Any) -> None:
        super().__init__()


class FitwellRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """x."""
