"""The Boltzmann machine against enumeration: energies, gradients, scores."""

from itertools import product

import pytest
import torch

from fitwell.errors import PlanError
from fitwell.models.rbm import FAMILY, Rbm, build, full_intensity, stride, suits
from fitwell.plan import ModelPlan
from fitwell.shape import Input, Shape, Target

V, H = 6, 4


@pytest.fixture
def machine() -> Rbm:
    """A small machine with weights that matter, in double precision."""
    torch.manual_seed(0)
    rbm = Rbm(V, H, cd_steps=1, scale=1.0).double()
    with torch.no_grad():
        for parameter in rbm.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.8)
    return rbm


def states(units: int) -> torch.Tensor:
    return torch.tensor(list(product([0.0, 1.0], repeat=units)), dtype=torch.float64)


def energies(rbm: Rbm) -> torch.Tensor:
    """E(v, h) of every pair of states, (2^V, 2^H)."""
    v, h = states(V), states(H)
    return -(v @ rbm.bias_V)[:, None] - (h @ rbm.bias_H)[None, :] - v @ rbm.weight_VH @ h.T


def gradients(rbm: Rbm, loss: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(rbm.parameters())))


def data(count: int = 8) -> torch.Tensor:
    return (torch.rand(count, V, generator=torch.Generator().manual_seed(2)) < 0.4).double()


def test_the_free_energy_sums_over_all_hidden_states(machine):
    torch.testing.assert_close(machine.free_energy(states(V)), -torch.logsumexp(-energies(machine), 1))


def test_the_conditionals_are_those_of_the_joint_distribution(machine):
    joint = torch.softmax(-energies(machine).flatten(), 0).view(2**V, 2**H)
    hidden = (joint / joint.sum(1, keepdim=True)) @ states(H)
    visible = (joint / joint.sum(0)).T @ states(V)
    torch.testing.assert_close(machine.hidden_logits(states(V)).sigmoid(), hidden)
    torch.testing.assert_close(machine.visible_logits(states(H)).sigmoid(), visible)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_gradient_of_the_loss_is_that_of_contrastive_divergence(machine, steps):
    machine.cd_steps = steps
    v0 = data()
    torch.manual_seed(7)
    found = gradients(machine, FAMILY.loss(machine, {"x": v0}))
    torch.manual_seed(7)
    vk = machine.gibbs(v0, steps)
    p0, pk = (machine.hidden_logits(v).sigmoid() for v in (v0, vk))
    expected = [(vk.T @ pk - v0.T @ p0) / len(v0), (vk - v0).mean(0), (pk - p0).mean(0)]
    for mine, closed_form in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, closed_form)


def test_with_many_steps_the_gradient_is_the_exact_one(machine):
    with torch.no_grad():
        machine.weight_VH.mul_(0.5)  # a chain that mixes within the steps taken
    exact_data = data(4)
    log_partition = torch.logsumexp(-machine.free_energy(states(V)), 0)
    exact = gradients(machine, machine.free_energy(exact_data).mean() + log_partition)
    torch.manual_seed(1)
    chains = 20_000
    machine.cd_steps = 30
    v0 = exact_data.repeat(chains // 4, 1)
    found = gradients(machine, FAMILY.loss(machine, {"x": v0}))
    vk = machine.gibbs(v0, 30)
    pk = machine.hidden_logits(vk).sigmoid().detach()
    deviations = [(vk[:, :, None] * pk[:, None, :]).std(0), vk.std(0), pk.std(0)]
    for mine, true, deviation in zip(found, exact, deviations, strict=True):
        # 34 comparisons: 4 standard errors bound them all with p > 0.99
        assert ((mine - true).abs() < 4 * deviation / chains**0.5).all()
    one_step = Rbm(V, H, 1, 1.0).double()
    one_step.load_state_dict(machine.state_dict())
    biased = gradients(one_step, FAMILY.loss(one_step, {"x": v0}))
    assert ((biased[0] - exact[0]).abs() > 6 * deviations[0] / chains**0.5).any()


def test_samples_are_binary_and_come_from_torchs_generator(machine):
    gray = torch.rand(50, V, dtype=torch.float64)
    state = torch.get_rng_state()
    first = machine.gibbs(gray, 2)
    assert set(first.unique().tolist()) <= {0.0, 1.0}
    assert not first.requires_grad
    torch.set_rng_state(state)
    assert torch.equal(first, machine.gibbs(gray, 2))


def exact_pseudo_likelihood(rbm: Rbm, v: torch.Tensor) -> torch.Tensor:
    """Sum over units of log p(v_i | the others), of each sample, by flipping each unit."""
    energy = rbm.free_energy(v)
    total = torch.zeros_like(energy)
    for unit in range(V):
        flipped = v.clone()
        flipped[:, unit] = 1 - flipped[:, unit]
        total += -torch.nn.functional.softplus(energy - rbm.free_energy(flipped))
    return total


def test_the_score_over_all_units_is_the_exact_pseudo_likelihood(machine):
    v = data(5)
    repeated = v.repeat_interleave(V, 0)  # each sample meets each unit once, for V places in a row do
    score = FAMILY.score(machine, torch.empty(0), {"x": repeated})
    torch.testing.assert_close(score, -exact_pseudo_likelihood(machine, v).mean())


def test_a_gray_pixel_counts_as_a_probability(machine):
    v = data(1)
    unit = torch.zeros(1, dtype=torch.int64)  # the unit of the first sample
    scores = []
    for value in (0.0, 1.0, 0.3):
        v[0, 0] = value
        scores.append(FAMILY.score(machine, torch.empty(0), {"x": v}))
    torch.testing.assert_close(scores[2], 0.7 * scores[0] + 0.3 * scores[1])
    assert machine.conditional_logits(v, unit).shape == (1,)


@pytest.mark.parametrize("units", [1, 2, 6, 64, 784, 3072])
def test_the_stride_meets_every_unit_once_in_a_round(units):
    assert len({place * stride(units) % units for place in range(units)}) == units


def plan(*hidden: int, steps: int = 1) -> ModelPlan:
    return ModelPlan(
        family="rbm", hidden=hidden, activation="sigmoid", norm="none", dropout=0.0, cd_steps=steps
    )


def image(mean: float, std: float) -> Input:
    return Input("image", (1, 4, 4), mean=(mean,), std=(std,))


@pytest.mark.parametrize(
    ("mean", "std", "scale"),
    [(33.3, 78.6, 255.0), (4.88, 6.02, 16.0), (0.1307, 0.3081, 1.0), (120.0, 64.0, 255.0),
     (9000.0, 12000.0, 65535.0), (1e5, 1e5, 2e5)],
)  # fmt: skip
def test_full_intensity_is_found_from_mean_and_deviation(mean, std, scale):
    assert full_intensity(image(mean, std)) == pytest.approx(scale)


def test_a_reconstruction_has_the_shape_and_units_of_the_pixels():
    torch.manual_seed(0)
    rbm = build(plan(8, steps=2), Shape({"x": image(33.3, 78.6)}, Target("none")))
    assert rbm.cd_steps == 2
    x = torch.randint(0, 256, (3, 1, 4, 4), dtype=torch.uint8)
    found = FAMILY.predict(rbm, {"x": x}).detach()
    assert found.shape == x.shape
    assert 100 < float(found.mean()) < 155  # an untrained machine gives a half of full intensity
    assert float(rbm.visible(x).max()) <= 1


@pytest.mark.parametrize("hidden", [(), (8, 4)])
def test_there_is_one_hidden_layer(hidden):
    with pytest.raises(PlanError, match="hidden"):
        build(plan(*hidden), Shape({"x": image(33.3, 78.6)}, Target("none")))


def test_an_image_with_light_in_it_is_needed():
    assert suits(Shape({"x": image(33.3, 78.6)}, Target("none"))) is None
    assert suits(Shape({"x": image(0.0, 1.0)}, Target("none"))) is not None
    assert suits(Shape({"x": Input("numbers", (5,))}, Target("none"))) is not None
