"""Rows: models' own tensors are views of them, padded ones stay apart from what pads them."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fitwell.tuning.populations.stacking import Unstackable
from fitwell.tuning.populations.stacking.rows import Layout, Rows, View

widths = st.lists(st.integers(1, 6), min_size=1, max_size=4)


def net(width: int, norm: bool = True) -> nn.Module:
    layers = [nn.Linear(3, width), nn.BatchNorm1d(width) if norm else nn.Identity(), nn.Linear(width, 2)]
    return nn.Sequential(*layers)


def rows_of(models: list[nn.Module]) -> Rows:
    return Rows(models, [torch.Generator() for _ in models])


@given(widths)
@settings(max_examples=25, deadline=None)
def test_every_weight_has_a_place_of_its_own(sizes: list[int]) -> None:
    models = [net(size) for size in sizes]
    before = [{k: v.clone() for k, v in model.state_dict().items()} for model in models]
    rows = rows_of(models)
    for model, state in zip(models, before, strict=True):
        assert all(torch.equal(values, state[name]) for name, values in model.state_dict().items())
    # a number for each place of the matrix: each weight reads another one
    rows.weights_KP.copy_(torch.arange(rows.weights_KP.numel()).view_as(rows.weights_KP))
    read = torch.cat([p.detach().flatten() for model in models for p in model.parameters()])
    assert len(read.unique()) == len(read)
    mask_KP = rows.layout.mask(models)
    assert read.sort().values.tolist() == rows.weights_KP[mask_KP == 1].tolist()
    assert (rows.mask_KP is None) == (len(set(sizes)) == 1) == (not rows.layout.ragged)


@given(widths)
@settings(max_examples=25, deadline=None)
def test_what_decays_comes_first(sizes: list[int]) -> None:
    """Matrices do; norms and biases do not: see ``parameter_groups``."""
    models = [net(size) for size in sizes]
    layout = Layout(models)
    row_P = torch.zeros(layout.width)
    row_P[: layout.decayed] = 1
    for model in models:
        decayed = {name for name, _, view in layout.of(row_P, model) if (view == 1).all()}
        free = {name for name, _, view in layout.of(row_P, model) if (view == 0).all()}
        assert decayed == {"0.weight", "2.weight"}
        assert decayed | free == {name for name, _ in model.named_parameters()}


def test_a_place_is_as_wide_as_the_widest_member_in_each_dimension() -> None:
    layout = Layout([nn.Linear(2, 5), nn.Linear(4, 3)])
    assert layout.places["weight"].shape == (5, 4)
    assert layout.places["bias"].shape == (5,)
    assert layout.width == 25
    assert layout.ragged


def test_gradients_and_buffers_are_views_too() -> None:
    models = [net(2), net(4)]
    rows = rows_of(models)
    rows.gradients_KP.fill_(7.0)
    assert all(
        (p.grad == 7).all() and p.grad.shape == p.shape for model in models for p in model.parameters()
    )
    rows.buffers["1.running_mean"][1] = 3.0
    rows.buffers["1.num_batches_tracked"] += 2
    assert models[1].state_dict()["1.running_mean"].tolist() == [3.0] * 4
    assert models[0].state_dict()["1.running_mean"].tolist() == [0.0] * 2
    assert [model.state_dict()["1.num_batches_tracked"].item() for model in models] == [2, 2]


def test_a_buffer_that_some_have_not_stays_theirs() -> None:
    """Class weights: whichever member comes first."""
    models = [nn.Linear(1, 1) for _ in range(3)]
    for model, weights in zip(models, (torch.ones(2), None, torch.zeros(2)), strict=True):
        model.register_buffer("weights", weights)
    rows = rows_of(models)
    assert rows.buffers == {}
    assert models[0].get_buffer("weights").tolist() == [1.0, 1.0]
    with pytest.raises(Unstackable, match="not every member has weights"):
        rows.between(0, 3).buffer("weights")


def test_rows_are_made_of_rows_again() -> None:
    """As when members leave: a narrower layout holds the same weights."""
    models = [net(2), net(4), net(3)]
    first = rows_of(models)
    state = {name: values.clone() for name, values in models[2].state_dict().items()}
    second = rows_of([models[2], models[0]])
    assert second.layout.width < first.layout.width
    first.weights_KP.zero_()
    assert all(torch.equal(values, state[name]) for name, values in models[2].state_dict().items())


def test_a_view_reads_and_writes_some_rows() -> None:
    models = [net(3) for _ in range(4)]
    rows = rows_of(models)
    view = rows.between(1, 3)
    assert view.count == 2
    assert view.streams == rows.streams[1:3]
    assert torch.equal(view.value("0.weight")[1], models[2][0].weight)  # type: ignore[index]
    leaf = view.leaf("0.weight")
    assert view.leaf("0.weight") is leaf
    assert leaf.requires_grad
    assert leaf.data_ptr() == models[1][0].weight.data_ptr()  # type: ignore[index,union-attr]
    view.begin_step()
    (leaf * 5).sum().backward()
    view.end_step()
    gradients_KOI = rows.layout.places["0.weight"].of(rows.gradients_KP)
    assert gradients_KOI[:, 0, 0].tolist() == [0, 5, 5, 0]
    view.begin_step()
    view.end_step()  # a weight that nothing depended on
    assert (gradients_KOI == 0).all()


def test_a_view_of_a_model_that_is_one_layer() -> None:
    model = nn.Linear(2, 3)
    view = rows_of([model]).between(0, 1)
    assert torch.equal(view.value(".weight")[0], model.weight)


def test_widths_are_shares_of_the_widest_member_of_all_rows() -> None:
    view: View = rows_of([net(3), net(3), net(6)]).between(0, 2)
    assert not view.ragged
    view.put_out([3, 3], 6)
    assert view.ragged
    assert view.own == [Fraction(1, 2)] * 2
    view.put_out([6, 6], 6)
    assert not view.ragged


def test_weights_that_are_shared_or_not_trained_have_no_place() -> None:
    layer = nn.Linear(2, 2)
    view = rows_of([nn.Sequential(layer, layer)]).between(0, 1)
    assert view.value("0.weight").shape == (1, 2, 2)
    with pytest.raises(Unstackable, match=r"1\.weight is shared"):
        view.value("1.weight")
    frozen = nn.Linear(2, 2)
    frozen.bias.requires_grad_(False)
    with pytest.raises(Unstackable, match="bias is not trained"):
        rows_of([nn.Linear(2, 2), frozen])


def test_a_refused_model_is_left_as_it_was() -> None:
    models = [nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False)]
    places = [p.data_ptr() for model in models for p in model.parameters()]
    with pytest.raises(Unstackable):
        rows_of(models)
    assert [p.data_ptr() for model in models for p in model.parameters()] == places
    assert math.isfinite(models[0].weight.sum().item())
