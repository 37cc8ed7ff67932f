"""Every loader and every format on one machine, each in a process of its own, in one report."""
