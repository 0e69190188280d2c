"""Forecast of a noisy seasonal series with an LSTM on windows: functions, a plain loop over shuffled indices."""

# ruff: noqa: E501 (texts to be exchanged stand as they do in the program)

from program import MARK, Fault, Template

SOURCE = """\
import numpy as np
import torch
import torch.nn as nn


def make_series(n, seed):
    rng = np.random.default_rng(seed)
    t = np.arange(n)
    ar = np.zeros(n)
    for i in range(1, n):
        ar[i] = 0.8 * ar[i - 1] + rng.normal(0, 0.6)
    return 50 + 10 * np.sin(2 * np.pi * t / 24) + 5 * np.sin(2 * np.pi * t / 7) + ar


def create_windows(series, lookback):
    X, y = [], []
    for i in range(len(series) - lookback):
        X.append(series[i : i + lookback])
        y.append(series[i + lookback])
    return np.array(X, dtype=np.float32)[:, :, None], np.array(y, dtype=np.float32)[:, None]


class Forecaster(nn.Module):
    def __init__(self, hidden_size=24):
        super().__init__()
        self.lstm = nn.LSTM(input_size=1, hidden_size=hidden_size, batch_first=True)
        self.linear = nn.Linear(hidden_size, 1)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.linear(out[:, -1, :])


def fit(model, X_train, y_train, X_valid, y_valid, scale, epochs=14, batch_size=64):
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.MultiplicativeLR(optimizer, lr_lambda=lambda epoch: 0.75)
    criterion = nn.MSELoss()
    for epoch in range(epochs):
        model.train()
        perm = torch.randperm(len(X_train))
        train_losses = []
        for i in range(0, len(perm), batch_size):
            idx = perm[i : i + batch_size]
            y_pred = model(X_train[idx])
            loss = criterion(y_pred, y_train[idx])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_value_(model.parameters(), 1.0)
            optimizer.step()
            train_losses.append(loss.item())
        scheduler.step()
        model.eval()
        with torch.no_grad():
            y_pred = model(X_valid)
            valid_loss = criterion(y_pred, y_valid).item()
            mae = (y_pred - y_valid).abs().mean().item() * scale
        print("Epoch %d: train loss %.4f, valid loss %.4f, valid mae %.4f" % (epoch, np.mean(train_losses), valid_loss, mae))


torch.manual_seed(4)
series = make_series(4200, seed=4)
split = 3500
mean, std = series[:split].mean(), series[:split].std()
scaled = (series - mean) / std
X_train, y_train = map(torch.from_numpy, create_windows(scaled[:split], 24))
X_valid, y_valid = map(torch.from_numpy, create_windows(scaled[split:], 24))
model = Forecaster()
fit(model, X_train, y_train, X_valid, y_valid, scale=std)
"""

ADAM = "torch.optim.Adam(model.parameters(), lr=1e-2)"
LINEAR = "        return self.linear(out[:, -1, :])\n"
SCALED = "scaled = (series - mean) / std\n"
PRED = "            y_pred = model(X_train[idx])\n            loss = criterion(y_pred, y_train[idx])\n"
LSTM = "nn.LSTM(input_size=1, hidden_size=hidden_size, batch_first=True)"
CLIP = "            nn.utils.clip_grad_value_(model.parameters(), 1.0)\n"
PERM = "        perm = torch.randperm(len(X_train))\n"
EPOCHS = "epochs=14, batch_size=64"
MODEL = "model = Forecaster()\n"
TRAIN = "X_train, y_train = map(torch.from_numpy, create_windows(scaled[:split], 24))\n"

VARIANTS = (
    (
        "seed5",
        (("manual_seed(4)", "manual_seed(5)"), ("make_series(4200, seed=4)", "make_series(4200, seed=5)")),
    ),
    ("gru", ((LSTM, LSTM.replace("LSTM", "GRU")), (EPOCHS, "epochs=9, batch_size=64"))),
    (
        "mlp-rmsprop",
        (
            (
                "        self.lstm = " + LSTM,
                "        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(24, 48), nn.ReLU())",
            ),
            ("nn.Linear(hidden_size, 1)", "nn.Linear(48, 1)"),
            ("        out, _ = self.lstm(x)\n", ""),
            (LINEAR, "        return self.linear(self.hidden(x))\n"),
            (ADAM, "torch.optim.RMSprop(model.parameters(), lr=2e-3)"),
            (EPOCHS, "epochs=14, batch_size=32"),
        ),
    ),
    (
        "conv",
        (
            (
                "        self.lstm = " + LSTM,
                "        self.conv = nn.Sequential(nn.Conv1d(1, 16, 5), nn.ReLU(), nn.Conv1d(16, 16, 5, dilation=2), nn.ReLU())",
            ),
            ("nn.Linear(hidden_size, 1)", "nn.Linear(16 * 12, 1)"),
            ("        out, _ = self.lstm(x)\n", ""),
            (LINEAR, "        return self.linear(self.conv(x.transpose(1, 2)).flatten(1))\n"),
            ("lr=1e-2", "lr=8e-3"),
            ("lambda epoch: 0.75", "lambda epoch: 0.85"),
        ),
    ),
    (
        "l1-adamax",
        (
            ("nn.MSELoss()", "nn.L1Loss()"),
            (ADAM, "torch.optim.Adamax(model.parameters(), lr=1e-2)"),
            (EPOCHS, "epochs=14, batch_size=48"),
        ),
    ),
    ("sorted-validation-batch-32", ((EPOCHS, "epochs=11, batch_size=32"), ("lr=1e-2", "lr=6e-3"))),
)

FAULTS = (
    Fault(
        "loss-broadcasts",
        (
            (LINEAR, "        return self.linear(out[:, -1, :]).squeeze(-1)\n"),
            (PRED, PRED.replace("y_train[idx])\n", f"y_train[idx]){MARK}\n")),
        ),
        note="[B] against [B, 1]",
    ),
    Fault(
        "output-range-excludes-targets",
        ((LINEAR, f"        return torch.relu(self.linear(out[:, -1, :])){MARK}\n"),),
        accept=("dead-units",),
        note="ReLU on standardized values",
    ),
    Fault(
        "output-range-excludes-targets",
        (
            (LINEAR, f"        return torch.tanh(self.linear(out[:, -1, :])){MARK}\n"),
            (SCALED, "scaled = series - mean\n"),
            (
                "(model, X_train, y_train, X_valid, y_valid, scale=std)",
                "(model, X_train, y_train, X_valid, y_valid, scale=1.0)",
            ),
        ),
        note="tanh, targets reach 15",
    ),
    Fault(
        "input-not-normalized",
        (
            (SCALED, "scaled = series * 20\n"),
            ("X_valid, y_valid, scale=std)", "X_valid, y_valid, scale=1 / 20)"),
        ),
        accept=("saturated-activations", "slow-convergence", "underfitting"),
        note="values around 1000",
    ),
    Fault(
        "input-not-finite",
        (
            (
                SCALED,
                f"series[700:703] = np.nan{MARK}\n"
                + SCALED.replace("mean", "np.nanmean(series)").replace("std", "np.nanstd(series)"),
            ),
            ("X_valid, y_valid, scale=std)", "X_valid, y_valid, scale=1.0)"),
        ),
        accept=("loss-not-finite",),
        note="a gap in the measurements",
    ),
    Fault(
        "no-nonlinearity",
        (
            (
                "        self.lstm = " + LSTM,
                "        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(24, 48), nn.Linear(48, 24))",
            ),
            ("        out, _ = self.lstm(x)\n", ""),
            (LINEAR, f"        return self.linear(self.hidden(x)){MARK}\n"),
        ),
        note="three linear layers; the series is nearly linear, so little is lost",
    ),
    Fault(
        "exploding-gradients",
        (
            (LSTM, "nn.RNN(input_size=1, hidden_size=hidden_size, nonlinearity='relu', batch_first=True)"),
            (
                "        self.linear = nn.Linear(hidden_size, 1)\n",
                "        self.linear = nn.Linear(hidden_size, 1)\n"
                f"        nn.init.normal_(self.lstm.weight_hh_l0, std=0.45){MARK}\n",
            ),
            (CLIP, ""),
        ),
        accept=("badly-scaled-initialization", "learning-rate-too-high", "loss-not-finite"),
        note="ReLU recurrence with large weights",
    ),
    Fault(
        "distribution-shift",
        (
            (
                "+ 5 * np.sin(2 * np.pi * t / 7) + ar",
                "+ 5 * np.sin(2 * np.pi * t / 7) + ar + np.maximum(0, t - 3400) * 0.2",
            ),
        ),
        accept=("overfitting",),
        note="a trend after the split",
    ),
    Fault(
        "dtype-mismatch",
        (
            ("np.array(X, dtype=np.float32)[:, :, None]", "np.array(X)[:, :, None]"),
            ("        out, _ = self.lstm(x)\n", f"        out, _ = self.lstm(x){MARK}\n"),
        ),
        note="windows in float64",
    ),
    Fault(
        "too-little-data",
        (
            ("split = 3500", "split = 70"),
            (EPOCHS, "epochs=100, batch_size=16"),
            ("lambda epoch: 0.75", "lambda epoch: 0.99"),
        ),
        accept=("overfitting", "distribution-shift"),
        note="46 windows",
    ),
    Fault(
        "learning-rate-too-low",
        ((ADAM, f"torch.optim.SGD(model.parameters(), lr=1e-5){MARK}"),),
        accept=("slow-convergence", "loss-plateau"),
        note="plain SGD with 1e-5",
    ),
    Fault(
        "learning-rate-too-high",
        ((ADAM, f"torch.optim.SGD(model.parameters(), lr=60.0, momentum=0.9){MARK}"), (CLIP, "")),
        accept=("loss-oscillates", "exploding-gradients", "loss-not-finite", "saturated-activations"),
    ),
    Fault(
        "loss-oscillates",
        (
            (ADAM, f"torch.optim.RMSprop(model.parameters(), lr=0.05){MARK}"),
            ("lambda epoch: 0.75", "lambda epoch: 1.0"),
        ),
        accept=("learning-rate-too-high", "exploding-gradients"),
        note="spikes, but it learns",
    ),
    Fault(
        "loss-plateau",
        (
            (
                "        return self.linear(out[:, -1, :])\n",
                f"        return self.linear(out[:, 0, :]){MARK}\n",
            ),
        ),
        accept=("underfitting", "slow-convergence"),
        note="state after the first step is read, not after the last",
    ),
    Fault(
        "underfitting",
        (("hidden_size=24):", "hidden_size=1):"),),
        accept=("model-too-small",),
        note="one hidden unit",
    ),
    Fault(
        "gradients-not-cleared",
        (
            ("            optimizer.zero_grad()\n", ""),
            ("            loss.backward()\n", f"            loss.backward(){MARK}\n"),
            ("            optimizer.step()\n", f"            optimizer.step(){MARK}\n"),
        ),
    ),
    Fault(
        "vanishing-gradients",
        (
            (
                LSTM,
                "nn.LSTM(input_size=1, hidden_size=hidden_size, batch_first=True)\n        self.deep = nn.Sequential(*[m for _ in range(10) for m in (nn.Linear(hidden_size, hidden_size), nn.Sigmoid())])",
            ),
            (LINEAR, f"        return self.linear(self.deep(out[:, -1, :])){MARK}\n"),
        ),
        accept=("loss-plateau",),
        note="ten sigmoid layers behind the LSTM",
    ),
    Fault(
        "weight-decay-too-strong",
        ((ADAM, f"torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=2.0){MARK}"),),
        accept=("underfitting", "loss-plateau"),
    ),
)

TEMPLATES = (Template("forecast-series", SOURCE, FAULTS, VARIANTS),)
