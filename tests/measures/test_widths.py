from fitwell.evidence import View
from fitwell.measures.widths import hidden_widths


def view(*layers: tuple[str, list[int]]) -> View:
    table = [{"name": str(i), "class": kind, "output": output} for i, (kind, output) in enumerate(layers)]
    return View({"signals": {"layers": {"table": table}}})


def test_hidden_widths_are_features_channels_and_states() -> None:
    seen = view(
        ("Conv2d", [2, 8, 5, 5]),
        ("ReLU", [2, 77]),
        ("GRU", [2, 9, 24]),
        ("Linear", [2, 16]),
        ("Linear", [2, 3]),
    )
    assert hidden_widths(seen) == [8, 16, 24]


def test_a_width_that_the_last_layer_has_too_is_left_out() -> None:
    assert hidden_widths(view(("Linear", [2, 64]), ("Linear", [2, 5]), ("Linear", [2, 64]))) == [5]


def test_without_layers_there_are_none() -> None:
    assert hidden_widths(View()) == []


def test_what_enters_a_loss_is_no_hidden_width() -> None:
    heads = view(("Linear", [8, 40]), ("Linear", [8, 10]), ("Linear", [8, 2]))
    facts = {
        "signals": {
            **heads.facts["signals"],
            "loss_inputs": {"places": [{"outputs": 10, "input_shape": [8, 10]}, {"input_shape": [8, 2]}]},
        }
    }
    assert hidden_widths(View(facts)) == [40]


def test_a_model_with_attention_is_left_as_wide_as_it_is() -> None:
    assert (
        hidden_widths(view(("MultiheadAttention", [2, 8, 16]), ("Linear", [2, 64]), ("Linear", [2, 3]))) == []
    )
