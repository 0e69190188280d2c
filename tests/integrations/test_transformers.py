"""What the callback records of a tiny BERT, and that it is trained the same without it."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from torch.utils.data import Dataset

from fitwell.errors import FitwellError
from fitwell.integrations.transformers import Watch
from fitwell.run import Run, list_runs

pytestmark = pytest.mark.filterwarnings("ignore")
EPOCHS, BATCH = 2, 8
NAMES = ("bert.embeddings.", "bert.encoder.layer.0.", "bert.pooler.", "classifier")


class Sentences(Dataset):
    """The class of a sentence is whether its first word is a high one."""

    def __init__(self, count, seed):
        self.words = torch.randint(5, 50, (count, 6), generator=torch.Generator().manual_seed(seed))

    def __len__(self):
        return len(self.words)

    def __getitem__(self, index):
        words = self.words[index]
        if words.sum() < 0:
            raise ValueError("a wall")
        return {"input_ids": words, "attention_mask": torch.ones(6).long(), "labels": (words[0] > 27).long()}


def train(folder, *callbacks, wall=None, **settings):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.BertConfig(vocab_size=50, max_position_embeddings=16, **sizes)
    model = transformers.BertForSequenceClassification(config)
    data = Sentences(40, 1)
    if wall is not None:
        data.words[wall] = -1
    arguments = transformers.TrainingArguments(
        str(folder / "out"), num_train_epochs=EPOCHS, per_device_train_batch_size=BATCH, learning_rate=1e-2,
        eval_strategy="epoch", logging_strategy="epoch", save_strategy="no", report_to=[], disable_tqdm=True,
        use_cpu=True, per_device_eval_batch_size=BATCH, **settings,
    )  # fmt: skip
    trainer = transformers.Trainer(
        model, arguments, train_dataset=data, eval_dataset=Sentences(24, 2), callbacks=[*callbacks]
    )
    trainer.train()
    return model, trainer.state.log_history


def logged(history, name, scale=1.0):
    return [
        (entry["epoch"], pytest.approx(entry[name] * scale, rel=1e-3)) for entry in history if name in entry
    ]


@pytest.mark.parametrize(("settings", "steps"), [({}, 5), ({"gradient_accumulation_steps": 2}, 3)])
def test_the_training_is_the_same_and_what_is_recorded_is_what_the_trainer_logged(tmp_path, settings, steps):
    model, _ = train(tmp_path, **settings)
    stream = torch.get_rng_state()
    watch = Watch(tmp_path / "runs", budget=1.0)
    watched, history = train(tmp_path, watch, **settings)
    assert torch.equal(torch.get_rng_state(), stream)
    assert all(map(torch.equal, model.state_dict().values(), watched.state_dict().values()))

    run = Run(watch.run.path)
    assert run.state == "done"
    assert run.info["data"] == "BertForSequenceClassification"
    # The trainer divides the sum of an epoch's losses by its steps, which have two batches or one.
    assert run.curve("loss/train") == logged(history, "loss", steps / 5)
    assert run.curve("loss/val") == logged(history, "eval_loss")
    assert len(run.curve("accuracy/val")) == EPOCHS
    assert [thread["models"] for thread in run.facts["threads"]] == [["model"]]
    assert all(name.split("/")[1].startswith(NAMES) for name in run.signals() if name.startswith("layer/"))
    assert (run.result["steps"], run.result["epochs"]) == (EPOCHS * steps, EPOCHS)
    assert not run.facts["unseen"]


def test_an_exception_that_is_caught_ends_the_run_when_the_next_training_begins(tmp_path):
    watch = Watch(tmp_path / "runs")
    with pytest.raises(ValueError, match="a wall"):
        train(tmp_path, watch, wall=7)
    failed = watch.run
    assert failed.state == "running"
    other = Watch(tmp_path / "runs")
    train(tmp_path, other)
    assert failed.state == "failed"
    assert Run(other.run.path).state == "done"


def test_an_exception_that_ends_the_program_ends_the_run(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\n"
        "from test_transformers import Watch, train\n"
        f"train(Path({str(tmp_path)!r}), Watch({str(tmp_path / 'runs')!r}), wall=7)\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert done.stderr.endswith("ValueError: a wall\n")
    assert done.returncode == 1
    (run,) = list_runs(tmp_path / "runs")
    assert (run.state, run.info["error"]) == ("failed", "ValueError: a wall")
    assert run.facts["failure"]["where"]["text"] == 'raise ValueError("a wall")'


def test_other_ranks_are_not_watched():
    class Other:
        is_world_process_zero = False

    watch = Watch()
    watch.on_train_begin(None, Other(), None, model=None)
    assert watch.run is None


def test_without_the_library_it_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(sys.modules, "fitwell.integrations.transformers")
    with pytest.raises(FitwellError, match=r"(?s)transformers.*fix: pip install 'fitwell\[transformers\]'"):
        importlib.import_module("fitwell.integrations.transformers")
