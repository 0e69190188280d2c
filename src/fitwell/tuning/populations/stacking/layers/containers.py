"""Modules that only pass tensors from child to child: the same with stacked children."""

from __future__ import annotations

from torch import nn

from fitwell.models.cnn import Stage
from fitwell.models.mlp import Mlp
from fitwell.tuning.populations.stacking import Layer, with_stacked_children

LAYER = Layer((nn.Sequential, nn.ModuleList, Mlp, Stage), with_stacked_children)
