"""TensorBoard: a run's signals as an event file, with the steps and wall times at which they were recorded.

from fitwell.integrations.tensorboard import write_tensorboard
write_tensorboard(fitwell.Run("runs/..."))        # then: tensorboard --logdir runs
"""

from __future__ import annotations

import io
import math
from pathlib import Path

from fitwell.errors import FitwellError
from fitwell.run import Run
from fitwell.run.files import storage, write_atomic


def write_tensorboard(run: Run, folder: Path | str | None = None) -> Path:
    """Write the signals of a run for TensorBoard; non-finite values are NaN there.

    The wall times are those of the events. Values are single precision, as TensorBoard's are. Written again,
    a run replaces its file; the writers of torch and TensorBoard would add one, and every curve twice.

    Args:
        run: any run, finished or not.
        folder: where the file goes; the folder ``tensorboard`` of the run by default.

    Returns:
        The file.

    Raises:
        FitwellError: the package ``tensorboard`` is not installed.
        StorageError: the folder can't be written.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError as error:
        raise FitwellError(
            f"event files of TensorBoard can't be written: {error}",
            "the package tensorboard",
            "pip install 'fitwell[tensorboard]'",
        ) from error
    content = io.BytesIO()
    writer = RecordWriter(content)
    started = float(run.info.get("started", 0.0))
    writer.write(Event(wall_time=started, file_version="brain.Event:2").SerializeToString())
    for event in run.events:
        signals = {name: math.nan if value is None else value for name, value in event["signals"].items()}
        values = [Summary.Value(tag=name, simple_value=value) for name, value in signals.items()]
        record = Event(wall_time=event["time"], step=event["step"], summary=Summary(value=values))
        writer.write(record.SerializeToString())
    folder = run.path / "tensorboard" if folder is None else Path(folder)
    path = folder / f"events.out.tfevents.{run.name}"  # TensorBoard knows its files by the first three words
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content.getvalue())
    return path
