"""What labs 01 and 04 need at true size: one step of xl in a child process, stored results; `true-size` for GPUs."""
