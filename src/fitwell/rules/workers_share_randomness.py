"""workers-share-randomness: the workers of a DataLoader draw the same random numbers."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import any_of
from fitwell.measures.loops import COPIED_GENERATORS, EQUAL_BATCHES, SEEDED_ALIKE, workers_place


def _workers(alike: bool = False, generators: int = 0, equal: int = 0) -> dict[str, object]:
    loader = {
        "workers": 2,
        "seeded_alike": alike,
        "generators": ["rng"] * generators,
        "equal": equal,
        "where": None,
    }
    return {"signals": {"loader_workers": {"loaders": [loader]}}}


RULE = Rule(
    kind="bug",
    severity="warning",
    says="the workers of the DataLoader draw the same random numbers: augmentations and noise repeat",
    when=any_of(
        SEEDED_ALIKE.equals(True),
        COPIED_GENERATORS > 0,
        # One pair may be equal by chance where there are few different samples.
        EQUAL_BATCHES >= 2,
    ),
    because="each worker is a copy of the program. torch gives each another seed for torch, random and NumPy; to "
    "set one seed in all of them, or to draw from a generator that the dataset holds, makes all workers "
    "draw the same: batches in a row get the same noise, and so does every epoch.",
    may_be_wrong_if="the workers are meant to draw the same, or the generator is replaced in each worker in a way"
    " that is not seen.",
    remedies=(
        "leave worker_init_fn out, or seed with torch.initial_seed() % 2**32 in it",
        "make the dataset's generator in the worker, from torch.initial_seed()",
    ),
    sources=(
        Source(
            "Randomness in multi-process data loading",
            "https://docs.pytorch.org/docs/stable/data.html#randomness-in-multi-process-data-loading",
        ),
        Source(
            "NumPy's random numbers in PyTorch's DataLoader",
            "https://tanelp.github.io/posts/a-bug-that-plagues-thousands-of-open-source-ml-projects/",
        ),
    ),
    proves=True,
    explains=(
        "overfitting",
        "data-not-shuffled",
    ),
    fires=(
        Example("one seed for all", _workers(alike=True)),
        Example("the dataset's own generator", _workers(generators=1)),
        Example("equal batches", _workers(equal=2)),
    ),
    quiet=(Example("one equal pair", _workers(equal=1)),),
    where=workers_place,
)
