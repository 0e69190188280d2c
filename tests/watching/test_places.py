"""Lines that may be at fault, as the source says."""

from __future__ import annotations

import textwrap

import pytest

from fitwell.watching.places import lines_of


@pytest.fixture
def found(tmp_path):
    """Gives the texts of the lines of a kind in a program."""

    def read(source, kind):
        file = tmp_path / "program.py"
        file.write_text(textwrap.dedent(source))
        return [line["text"] for line in lines_of([str(file)]).get(kind, [])]

    return read


LOOP = """
    for x, y in loader:
        loss = criterion(model(x), y)
        loss.backward()
        {}
"""


@pytest.mark.parametrize(
    "line",
    ["total += loss", "total += loss * len(x)", "losses.append(loss)", "self.seen.append((epoch, loss))",
     "total = total + loss", "history['train'] = loss"],
)  # fmt: skip
def test_a_loss_that_is_kept(found, line):
    assert found(LOOP.format(line), "keeps") == [line]


@pytest.mark.parametrize(
    "line",
    ["total += loss.item()", "total += loss.detach() * len(x)", "losses.append(float(loss))", "count += len(x)",
     "print(loss)", "total += criterion(model(x), y).item()", "losses.append(loss.data.cpu())", "loss += penalty"],
)  # fmt: skip
def test_a_loss_that_is_not_kept_with_its_graph(found, line):
    assert found(LOOP.format(line), "keeps") == []


CUT = ["y = net(x).detach()", "y = decoder(torch.tensor(code.tolist()))", "y = head(last.data)",
       "y = torch.from_numpy(f(h.detach().numpy()))", "with torch.no_grad():"]  # fmt: skip


@pytest.mark.parametrize("line", CUT)
def test_what_leaves_the_graph(found, line):
    body = line + ("\n        pass" if line.endswith(":") else "")
    assert found(f"def forward(self, x):\n        {body}\n".replace("        ", "    ", 1), "cuts")[-1:] == [
        line
    ]


@pytest.mark.parametrize(
    "line",
    [
        "total += loss.detach()",
        "print(loss.detach())",
        "p.data.copy_(q)",
        "p.data = q",
        "x = torch.tensor([1.0, 2.0])",
    ],
)
def test_what_goes_nowhere_or_changes_weights_is_no_cut(found, line):
    assert found(f"{line}\n", "cuts") == []


def test_what_is_computed_without_a_graph_anyway_is_no_cut(found):
    source = "@torch.no_grad()\ndef validate():\n    y = net(x).detach()\n"
    assert found(source, "cuts") == []


def test_freezing(found):
    source = (
        "p.requires_grad = False\nnet.requires_grad_(False)\nq.requires_grad = True\nq.requires_grad_()\n"
    )
    assert found(source, "freezes") == ["p.requires_grad = False", "net.requires_grad_(False)"]


def test_loaders(found):
    source = """
    a = DataLoader(data, shuffle=shuffled)
    b = DataLoader(data, sampler=sampler)
    c = torch.utils.data.DataLoader(data, 32)
    for index in batches(n, 32, shuffle=False):
        pass
    """
    texts = ["c = torch.utils.data.DataLoader(data, 32)", "for index in batches(n, 32, shuffle=False):"]
    assert sorted(found(source, "loaders")) == texts


def test_layers_without_anything_between(found):
    source = """
    good = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    bad = nn.Sequential(
        nn.Linear(2, 3),
        nn.Linear(3, 1),
    )
    """
    assert found(source, "pairs") == ["nn.Linear(3, 1),"]


def test_operations_that_may_give_nan(found):
    source = "a = torch.log(x)\nb = torch.log(x + 1e-8)\nc = x / y\nd = x / len(y)\ne = (x / 2).sqrt()\n"
    assert sorted(found(source, "risks")) == ["a = torch.log(x)", "c = x / y", "e = (x / 2).sqrt()"]


def test_counting(found):
    source = "hits += (y == z).sum().item()\nif x == 1:\n    pass\nmodel.accuracy = evaluate(model)\n"
    assert found(source, "compares") == ["hits += (y == z).sum().item()"]
    assert found(source, "accuracies") == ["model.accuracy = evaluate(model)"]


def test_the_function_is_named_as_python_names_it(tmp_path):
    file = tmp_path / "program.py"
    file.write_text(
        "class Net:\n    def forward(self):\n        def inner():\n            return x.detach()\n"
    )
    line = lines_of([str(file)])["cuts"][0]
    assert (line["function"], line["in_model"], line["line"]) == ("Net.forward.<locals>.inner", True, 4)


def test_a_file_that_is_not_there_or_no_program(tmp_path):
    file = tmp_path / "program.py"
    file.write_text("def (")
    assert lines_of([str(file), str(tmp_path / "none.py"), "<stdin>"]) == {}
