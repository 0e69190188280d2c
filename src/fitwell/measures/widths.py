"""How wide the hidden layers are that ran."""

from __future__ import annotations

from fitwell.evidence import View

LAYERS = ("Linear", "Conv1d", "Conv2d", "Conv3d", "GRU", "LSTM", "RNN", "Embedding")


def hidden_widths(view: View) -> list[int]:
    """What layers with weights give: features, channels or states; but for what enters a loss.

    A width that an output has, too, is left out, for nobody could tell which of the two is meant. Of a model with
    attention there are none: the sizes of its heads are tied to them.
    """
    table = (view.known("layers") or {}).get("table") or []
    if any("attention" in str(row.get("class")).lower() for row in table):
        return []
    seen = [
        (row["class"], row["output"]) for row in table if row.get("class") in LAYERS and row.get("output")
    ]
    widths = [output[1 if kind.startswith("Conv") and len(output) > 1 else -1] for kind, output in seen]
    return sorted(set(widths[:-1]) - {1, *widths[-1:], *_outputs(view)})


def _outputs(view: View) -> set[int]:
    """How many numbers the losses take for each sample."""
    places = (view.fact("signals", "loss_inputs") or {}).get("places") or []
    return {place["outputs"] for place in places if place.get("outputs")} | {
        place["input_shape"][-1] for place in places if place.get("input_shape")
    }
