"""My own GPT-2. Everything below this line is mine: functions or classes, under any names."""
