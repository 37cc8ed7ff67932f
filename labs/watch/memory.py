"""How a column of the system log moved during a run, and across its loss spikes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from utils.errors import CourseError
from utils.plots.system import Trace, find_spikes


def machine_table(trace: Trace) -> pd.DataFrame:
    """Return the rows of the system log beside a run, or say that there are none."""
    if trace.machine is None:
        raise CourseError("This run has no system log. Hand its path to trace_run.")
    return trace.machine


def swings(trace: Trace, column: str = "Available RAM (GB)") -> dict[str, float]:
    """Return lowest, highest and mean of a column of the machine's table over the run."""
    values = machine_table(trace)[column].dropna()
    if values.empty:
        raise CourseError(f"{column} is empty in this run: the machine has no such sensor.")
    return {"lowest": float(values.min()), "highest": float(values.max()), "mean": float(values.mean())}


def before_and_after_spikes(trace: Trace, column: str = "Process RAM (MB)", seconds: float = 2.0) -> list[float]:
    """Return by how much a column changed across each spike: its mean just after less its mean just before."""
    table = machine_table(trace)
    times, values = table["Seconds"].to_numpy(), table[column].to_numpy(float)
    changes = []
    for place in find_spikes(trace.losses):
        at = trace.seconds[place]
        before, after = (values[(times >= low) & (times < low + seconds)] for low in (at - seconds, at))
        if len(before) and len(after):
            changes.append(float(np.nanmean(after) - np.nanmean(before)))
    return changes
