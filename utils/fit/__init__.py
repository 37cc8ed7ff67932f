"""What a machine has and how to live within it: sensors, memory, placement, fast products, steps with care."""
