"""Training speed as a ladder: a rung a change, measured on this machine, beside ladders that others published."""
