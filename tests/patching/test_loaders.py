import pytest

from fitwell.evidence import View
from fitwell.patch import Code
from fitwell.patching.loaders import batch_size, training_loader
from fitwell.remedy import About

SIZES = {
    "of the loader": ("loader = DataLoader(data, batch_size=BS)\n", "BS"),
    "beside others": (
        "train = DataLoader(a, 16, shuffle=True)\nval_loader = DataLoader(b, 64)\nx = DataLoader(test_set, 64)\n",
        "16",
    ),
    "of slices": ("for i in range(0, n, BATCH):\n    f(x[i : i + BATCH])\n", "BATCH"),
    "of permuted slices": ("for i in range(0, len(o), b):\n    idx = o[i:i+b]\n    f(x[idx])\n", "b"),
    "by its name": (
        "batch_size = 8\n\ndef get_batch():\n    return torch.randint(9, (batch_size,))\n",
        "batch_size",
    ),
    "two training loaders": ("a = DataLoader(x, 2)\nb = DataLoader(y, 3)\n", None),
    "of other slices": ("for i in range(0, n, k):\n    f(x[i])\n", None),
    "none": ("f(x)\n", None),
}


@pytest.mark.parametrize(("text", "size"), SIZES.values(), ids=SIZES)
def test_the_size_of_a_batch_is_found(text: str, size: str | None) -> None:
    code = Code(text)
    found = batch_size(code, About("batch-size-too-small", View()))
    assert (found and code.segment(found)) == size


def test_a_line_tells_which_loader() -> None:
    code = Code("a = DataLoader(x)\nb = DataLoader(y)\n")
    found = training_loader(code, About("data-not-shuffled", View(), 2))
    assert found is not None
    assert found.lineno == 2
