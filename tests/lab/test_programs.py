"""The programs of the lab are what they claim to be, as far as that is seen without running them."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from parts import WRITTEN, Case, cases, templates
from program import MARK

HEALTHY, FAULTY = 75, 190  # programs that each part has at least
EACH = {"calibration": 3, "reporting": 2}  # programs of every fault

# The vocabulary of findings.
VOCABULARY = """
gradients-not-cleared gradients-cleared-before-step optimizer-never-steps parameters-not-in-optimizer
parameters-frozen loss-detached gradient-path-cut unused-parameters graph-retained inplace-modification
device-mismatch dtype-mismatch shape-mismatch scheduler-misused clipping-misplaced data-not-shuffled
workers-share-randomness
softmax-before-cross-entropy sigmoid-before-bce-with-logits nll-without-log-softmax softmax-wrong-dimension
single-unit-softmax bce-input-not-probability loss-does-not-match-target loss-broadcasts
output-range-excludes-targets loss-sign-flipped class-imbalance
no-nonlinearity samples-mixed input-ignored symmetric-initialization badly-scaled-initialization
vanishing-gradients exploding-gradients dead-units saturated-activations model-too-small dropout-too-strong
normalization-on-tiny-batch
learning-rate-too-high learning-rate-too-low loss-oscillates loss-plateau slow-convergence loss-not-finite
weight-decay-too-strong batch-size-too-small
input-not-normalized input-not-finite constant-feature labels-unrelated-to-input label-noise
labels-out-of-range train-validation-overlap distribution-shift too-little-data augmentation-too-strong
evaluated-in-training-mode trained-in-eval-mode statistics-updated-by-evaluation evaluation-not-deterministic
metric-wrong overfitting underfitting
"""
NAMES = frozenset(VOCABULARY.split())

parts = pytest.mark.parametrize("part", WRITTEN)


@parts
def test_every_program_can_be_made_and_compiles(part: str) -> None:
    for case in cases(part):  # raises if an edit does not fit its template
        compile(case.program.source, case.program.name, "exec")


@parts
def test_names_of_programs_are_unique_and_good_for_folders(part: str) -> None:
    names = [case.program.name for case in cases(part)]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z0-9-]+", name)] == []


@parts
def test_faults_have_names_of_the_vocabulary(part: str) -> None:
    assert {name for case in cases(part) for name in case.right} - NAMES == set()


@parts
def test_every_fault_is_there_in_several_forms(part: str) -> None:
    faulty = [case for case in cases(part) if case.expected]
    counts = Counter(case.expected for case in faulty)
    assert {name: counts[name] for name in NAMES if counts[name] < EACH[part]} == {}
    assert len(faulty) >= FAULTY


@parts
def test_there_are_many_healthy_programs(part: str) -> None:
    assert len([case for case in cases(part) if not case.expected]) >= HEALTHY


@parts
def test_a_fault_changes_the_program(part: str) -> None:
    trees = [ast.dump(ast.parse(case.program.source)) for case in cases(part)]
    names = [case.program.name for case in cases(part)]
    same = [
        (name, names[trees.index(tree)])
        for i, (name, tree) in enumerate(zip(names, trees, strict=True))
        if trees.index(tree) < i
    ]
    assert same == []


@parts
def test_marked_lines_hold_code(part: str) -> None:
    def empty(case: Case) -> list[int]:
        lines = case.program.source.splitlines()
        return [n for n in case.program.lines if not lines[n - 1].strip()]

    assert [case.program.name for case in cases(part) if empty(case)] == []
    assert [case.program.name for case in cases(part) if MARK.strip() in case.program.source] == []


def test_parts_share_no_template() -> None:
    calibration, reporting = ({t.source for t in templates(part)} for part in WRITTEN)
    assert calibration & reporting == set()
