"""Patches of what takes tensors out of their graph, keeps graphs, or changes what backward needs."""

from __future__ import annotations

import pytest
from mended import mended

KEPT = {
    "detach": ("loss = f(net(x).detach(), y)  # <-\n", "loss = f(net(x), y)\n"),
    "data": ("h = head(last[-1].data)  # <-\n", "h = head(last[-1])\n"),
    "data of what is computed": ("h = (a + b).data * c  # <-\n", "h = (a + b) * c\n"),
    "a number that is wrapped anew": (
        "loss = torch.tensor(f(net(x), y).item(), requires_grad=True)  # <-\n",
        "loss = f(net(x), y)\n",
    ),
    "an old variable": ("loss = Variable(f(x).data, requires_grad=True)  # <-\n", "loss = f(x)\n"),
    "a sum of copies": (
        "loss = 2 * torch.tensor(a.item() + b.item(), requires_grad=True)  # <-\n",
        "loss = 2 * (a + b)\n",
    ),
    "a list of numbers": (
        "loss = torch.tensor([a.item(), b.item()], requires_grad=True).mean()  # <-\n",
        "loss = torch.stack([a, b]).mean()\n",
    ),
    "through NumPy": (
        "h = self.b(torch.from_numpy(h.detach().cpu().numpy()))  # <-\n",
        "h = self.b(h.cpu())\n",
    ),
    "with a type": (
        "h = torch.tensor(h.tolist(), dtype=torch.float32)  # <-\n",
        "h = h.to(dtype=torch.float32)\n",
    ),
    "over several lines": (
        "h = self.b(\n    h.detach()  # <-\n    .relu()\n)\n",
        "h = self.b(\n    h\n    .relu()\n)\n",
    ),
    "data of another kind stay": (
        "loss = f(net(torch.tensor(x)).detach(), torch.tensor(y))  # <-\n",
        "loss = f(net(torch.tensor(x)), torch.tensor(y))\n",
    ),
    "an index stays": ("h = net(x)[: n.item()].detach()  # <-\n", "h = net(x)[: n.item()]\n"),
    "float": ("loss = float(f(x)) + penalty  # <-\n", "loss = f(x) + penalty\n"),
    "no_grad around the model": (
        "for x in d:\n    with torch.no_grad():  # <-\n        h = net(x)\n    loss = f(h)\n    loss.requires_grad_()\n"
        "    loss.backward()\n",
        "for x in d:\n    h = net(x)\n    loss = f(h)\n    loss.backward()\n",
    ),
    "within no_grad": (
        "with torch.inference_mode():\n    h = net(x)  # <-\nloss = f(h)\nloss.requires_grad = True\n",
        "h = net(x)\nloss = f(h)\n",
    ),
    "no_grad beside another context": (
        'with torch.no_grad(), torch.autocast("cpu"):\n    h = net(x)  # <-\n',
        'with torch.autocast("cpu"):\n    h = net(x)\n',
    ),
    "gradients are switched off": (
        "with torch.set_grad_enabled(False):\n    h = net(x)  # <-\n",
        "h = net(x)\n",
    ),
    "a decorator": (
        "class Net(nn.Module):\n    @torch.no_grad()\n    def forward(self, x):\n        return self.a(x)  # <-\n",
        "class Net(nn.Module):\n    def forward(self, x):\n        return self.a(x)\n",
    ),
    "the line of backward": (
        "for x in d:\n    h = net(x).detach()\n    loss = f(h)\n    loss.backward()  # <-\n",
        "for x in d:\n    h = net(x)\n    loss = f(h)\n    loss.backward()\n",
    ),
    "rounding": (
        "h = torch.round(h)  # <-\n",
        "h = (h + (torch.round(h) - h).detach())\n",
    ),
    "nothing is cut: nothing is done": ("loss = f(net(x), y)  # <-\n", "loss = f(net(x), y)\n"),
}

RECORDED = {
    "a sum": ("total += loss * len(x)  # <-\n", "total += loss.item() * len(x)\n"),
    "a sum that is written out": ("d_sum = d_sum + d_loss  # <-\n", "d_sum = d_sum + d_loss.item()\n"),
    "a list": ("history.append(loss)  # <-\n", "history.append(loss.item())\n"),
    "with others": (
        "history.append((epoch, loss, loss2.item()))  # <-\n",
        "history.append((epoch, loss.item(), loss2.item()))\n",
    ),
    "by the name of what is propagated back": (
        "j.backward()\nself.sum += j  # <-\n",
        "j.backward()\nself.sum += j.item()\n",
    ),
    "a tensor is wanted": (
        "losses.append(loss)  # <-\nprint(torch.stack(losses))\n",
        "losses.append(loss.detach())\nprint(torch.stack(losses))\n",
    ),
    "a sum that is asked for its value": (
        "total += loss  # <-\nprint(total.item())\n",
        "total += loss.detach()\nprint(total.item())\n",
    ),
    "a state": (
        "h = None\nfor x in d:\n    y, h = rnn(x, h)\n    f(y).backward()  # <-\n",
        "h = None\nfor x in d:\n    h = h if h is None else h.detach()\n    y, h = rnn(x, h)\n    f(y).backward()\n",
    ),
    "what is propagated back stays": (
        "loss = f(x)\nloss += aux_loss  # <-\nloss.backward()\n",
        "loss = f(x)\nloss += aux_loss\nloss.backward()\n",
    ),
    "a sum of losses stays": (
        "total_loss = a_loss + b_loss  # <-\n",
        "total_loss = a_loss + b_loss\n",
    ),
    "a function of the loss is a number": ("total += float(loss)  # <-\n", "total += float(loss)\n"),
}

OUT_OF_PLACE = {
    "an operator": ("x += y  # <-\n", "x = x + y\n"),
    "a sum": ("x *= y + z  # <-\n", "x = x * (y + z)\n"),
    "in brackets": ("x -= (y + z)  # <-\n", "x = x - (y + z)\n"),
    "an attribute": ("self.h **= 2  # <-\n", "self.h = self.h ** 2\n"),
    "some elements": (
        "def f(x):\n    x[:, 0] = 0  # <-\n    return x\n",
        "def f(x):\n    x = x.clone()\n    x[:, 0] = 0\n    return x\n",
    ),
    "some elements, added to": ("x[m] += 1  # <-\n", "x = x.clone()\nx[m] += 1\n"),
    "a method": ("x = net(x).relu_()  # <-\n", "x = net(x).relu()\n"),
    "a method as a statement": ("x.add_(y)  # <-\n", "x = x.add(y)\n"),
    "a function as a statement": ("F.relu_(x)  # <-\n", "x = F.relu(x)\n"),
    "a switch": ("x = F.relu(x, inplace=True)  # <-\n", "x = F.relu(x, inplace=False)\n"),
    "a switch elsewhere": (
        "act = nn.ReLU(inplace=True)\nloss.backward()  # <-\n",
        "act = nn.ReLU(inplace=False)\nloss.backward()\n",
    ),
    "stepped between two passes": (
        "for x in d:\n    loss.backward(retain_graph=True)\n    opt.step()\n    loss.backward()  # <-\n",
        "for x in d:\n    loss.backward(retain_graph=True)\n    loss.backward()\n    opt.step()\n",
    ),
    "computed before the step": (
        "for x in d:\n    fake = g(x)\n    judged = c(fake)\n    d_loss = f(c(fake.detach()))\n    d_loss.backward()\n"
        "    d_opt.step()\n    g_loss = f(judged)\n    g_loss.backward()  # <-\n",
        "for x in d:\n    fake = g(x)\n    d_loss = f(c(fake.detach()))\n    d_loss.backward()\n"
        "    d_opt.step()\n    judged = c(fake)\n    g_loss = f(judged)\n    g_loss.backward()\n",
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_tensors_stay_in_their_graph(name: str) -> None:
    before, after = KEPT[name]
    assert mended("keep_graph", before) == after


@pytest.mark.parametrize("name", RECORDED)
def test_numbers_are_kept_instead_of_graphs(name: str) -> None:
    before, after = RECORDED[name]
    assert mended("record_numbers", before) == after


@pytest.mark.parametrize("name", OUT_OF_PLACE)
def test_new_tensors_are_made(name: str) -> None:
    before, after = OUT_OF_PLACE[name]
    assert mended("change_out_of_place", before) == after
