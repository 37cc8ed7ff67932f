"""The system log: its rows, its averages, its ends, and that what the words say is what is measured."""

from __future__ import annotations

import csv
import mmap
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pandas as pd
import psutil
import pytest
from psutil._ntuples import shwtemp
from runs import BARE, FULL, QUICK, Script, tiny_data, tiny_model

from utils.errors import CourseError
from utils.files.places import ROOT
from utils.files.signals import GracefulExit, Terminated
from utils.sampling import Sampling, generate
from utils.system_log import (
    AVERAGED,
    COLUMNS,
    READINGS,
    Sensors,
    SystemLog,
    describe,
    known,
    nvml_celsius,
    processor_celsius,
    processor_name,
    read_system_log,
)
from utils.training.loop import train


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def wait_for(path: Path, count: int, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not (path.exists() and len(rows(path)) >= count):
        time.sleep(0.01)
    assert len(rows(path)) >= count


def number(cell: str) -> float:
    return float(cell.partition(" / ")[0])


def test_a_run_leaves_before_during_and_after_in_this_order(tmp_path):
    path = tmp_path / "deep" / "system_log.csv"
    with SystemLog(path, 0.02, Script(FULL)):
        wait_for(path, 4)
        assert rows(path)[0]["Event"] == "Before", "Before stands there while the work goes on"
    events = [row["Event"] for row in rows(path)]
    assert events[0] == "Before" and events[-1] == "After" and set(events[1:-1]) == {"During"} and len(events) >= 5
    times = [datetime.fromisoformat(row["Date & Time"]) for row in rows(path)]
    assert times == sorted(times) and len({row["Run"] for row in rows(path)}) == 1


PROMISED = {
    "Event": "Before",
    "Name": "A 40",
    "Date & Time": None,
    "Available RAM (GB)": "8.0000",
    "Available Memory (%)": "50.00",
    "CPU (%)": "25.0",
    "Process RAM (MB)": "500.00",
    "Process CPU (%)": "150.0",
    "GPU Name": "A 40",
    "GPU Memory (MB)": "3000.00",
    "Temperature (C / F)": "50.0 / 122.0",
}


def test_the_first_eleven_columns_are_the_promised_ones_and_each_holds_its_own_figure(tmp_path):
    with SystemLog(tmp_path / "log.csv", 10, Script(FULL)):
        pass
    first = rows(tmp_path / "log.csv")[0]
    assert list(first)[:11] == list(READINGS) == list(PROMISED) and list(first) == list(COLUMNS)
    assert all(first[name] == cell for name, cell in PROMISED.items() if cell)
    assert not any(first[f"Average {name}"] for name in AVERAGED)


def test_after_has_the_averages_of_all_rows_and_its_own_readings(tmp_path):
    figures = [(r * 1e9, r / 16, r * 2e8, 40 + r) for r in (8, 3, 1)]
    hot = [replace(FULL, available_ram=a, available_share=b, gpu_memory=c, celsius=d) for a, b, c, d in figures]
    path = tmp_path / "log.csv"
    with SystemLog(path, 0.02, Script(*hot)):
        wait_for(path, 5)
    found = rows(path)
    for name in AVERAGED:
        mean = statistics.fmean(number(row[name]) for row in found)
        assert number(found[-1][f"Average {name}"]) == pytest.approx(mean, rel=1e-5)
        assert not any(row[f"Average {name}"] for row in found[:-1])
    celsius, _, fahrenheit = found[-1]["Average Temperature (C / F)"].partition(" / ")
    assert float(fahrenheit) == pytest.approx(float(celsius) * 1.8 + 32, abs=1e-3)
    assert found[-1]["Available RAM (GB)"] == "1.0000"


def test_what_no_sensor_tells_stays_empty_and_no_average_is_made_up(tmp_path):
    path = tmp_path / "log.csv"
    with SystemLog(path, 10, Script(BARE, replace(BARE, available_ram=None, available_share=None))):
        pass
    last = rows(path)[-1]
    for name in ("CPU (%)", "GPU Name", "GPU Memory (MB)", "Temperature (C / F)", "Available RAM (GB)"):
        assert last[name] == ""
    assert last["Average GPU Memory (MB)"] == last["Average Temperature (C / F)"] == ""
    assert number(last["Average Available RAM (GB)"]) == 8.0, "empty cells do not count as zero"


@pytest.mark.parametrize("end", [ValueError, KeyboardInterrupt, SystemExit])
def test_after_is_written_on_an_error_and_on_ctrl_c(tmp_path, end):
    path = tmp_path / "log.csv"
    with pytest.raises(end), SystemLog(path, 10, Script(FULL)):
        raise end("in the middle")
    assert [row["Event"] for row in rows(path)] == ["Before", "During", "After"]
    assert rows(path)[-1]["Average GPU Memory (MB)"]


WORK = """
import sys, time
from utils.system_log import SystemLog
with SystemLog(sys.argv[1], 0.05):
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without asking it")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_a_process_that_is_asked_to_end_writes_after(tmp_path, number, code):
    path = tmp_path / "log.csv"
    words = [sys.executable, "-c", WORK, str(path)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout.readline().strip() == "ready"
        process.send_signal(number)
        assert process.wait(30) in (code, 130)
    assert [row["Event"] for row in rows(path)][-1] == "After"


def test_the_handler_of_sigterm_is_put_back_and_never_taken_from_others():
    before = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with pytest.raises(Terminated) as end, GracefulExit():
            signal.raise_signal(signal.SIGTERM)
        assert end.value.code == 143 and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with GracefulExit():
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_runs_in_one_file_are_told_apart_and_pandas_reads_it_in_a_line(tmp_path):
    path = tmp_path / "log.csv"
    for gigabytes in (8, 4):
        with SystemLog(path, 10, Script(replace(FULL, available_ram=gigabytes * 1e9))):
            pass
    table = pd.read_csv(path)
    assert table.groupby("Run")["Available RAM (GB)"].mean().tolist() == [8.0, 4.0]
    assert table["Event"].tolist() == ["Before", "During", "After"] * 2
    first, second = dict.fromkeys(row["Run"] for row in rows(path))
    assert set(read_system_log(path)["Run"]) == {second} and set(read_system_log(path, first)["Run"]) == {first}
    assert read_system_log(path)["Celsius"].tolist() == [50.0] * 3
    assert read_system_log(path)["Seconds"].is_monotonic_increasing
    with pytest.raises(CourseError, match="holds no run 'x'"):
        read_system_log(path, "x")


def test_two_logs_at_once_in_one_file_keep_every_row_whole(tmp_path):
    path = tmp_path / "log.csv"
    with SystemLog(path, 0.01, Script(FULL)) as one, SystemLog(path, 0.01, Script(BARE)) as other:
        wait_for(path, 30)
    names = {one.run: "A 40", other.run: "Some CPU"}
    assert all(row["Name"] == names[row["Run"]] and None not in row and None not in row.values() for row in rows(path))


def test_the_work_never_waits_for_a_slow_sensor(tmp_path):
    asked, free = threading.Event(), threading.Event()

    class Slow(Script):
        def read(self):
            if self.asked == 1:
                asked.set()
                free.wait(20)
            return super().read()

    slow = Slow(FULL)
    with SystemLog(tmp_path / "log.csv", 0.01, slow):
        assert asked.wait(20)
        work = sum(range(1000))  # goes on while the sensor hangs
        free.set()
    assert slow.threads == {"system log"} and threading.current_thread().name != "system log"
    assert work == 499500 and rows(tmp_path / "log.csv")[-1]["Event"] == "After"


def test_a_log_serves_one_run_after_another_but_not_two_at_once(tmp_path):
    log = SystemLog(tmp_path / "log.csv", 10, Script(FULL))
    for _ in range(2):
        with log, pytest.raises(CourseError, match="is being written by this log already"):
            log.__enter__()
    assert len({row["Run"] for row in rows(tmp_path / "log.csv")}) == 2


def test_a_file_that_can_not_be_written_stops_before_the_work_and_warns_after_it(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(CourseError, match="could not be written"), SystemLog(tmp_path / "file" / "log.csv"):
        raise AssertionError("the work began")
    path = tmp_path / "log.csv"
    with pytest.warns(RuntimeWarning, match=r"2 rows of .*log.csv are missing"), SystemLog(path, 10, Script(FULL)):
        path.unlink()
        path.mkdir()


def test_a_table_of_another_kind_is_not_written_into(tmp_path):
    (tmp_path / "log.csv").write_text("Event,Animal\nBefore,fox\n", encoding="utf-8")
    with pytest.raises(CourseError, match="begins with 'Event,Animal'"), SystemLog(tmp_path / "log.csv"):
        pass
    assert (tmp_path / "log.csv").read_text(encoding="utf-8") == "Event,Animal\nBefore,fox\n"


@pytest.mark.parametrize("every", [0, -1, float("nan"), 1e9])
def test_an_impossible_interval_is_refused(every):
    with pytest.raises(CourseError, match="expected 0.01 to 3600 seconds"):
        SystemLog(every=every)


def test_training_hands_its_whole_time_to_the_log(tmp_path):
    log = SystemLog(tmp_path / "log.csv", 0.01, Script(FULL))
    train(tiny_model(), tiny_data(), replace(QUICK, max_steps=3), system_log=log)
    events = [row["Event"] for row in rows(tmp_path / "log.csv")]
    assert events[0] == "Before" and events[-1] == "After" and "During" in events
    bad = tiny_model()
    bad.final_norm.weight.data.fill_(float("nan"))
    with pytest.raises(CourseError, match="gave loss nan"):
        train(bad, tiny_data(), QUICK, system_log=SystemLog(tmp_path / "bad.csv", 10, Script(FULL)))
    assert rows(tmp_path / "bad.csv")[-1]["Event"] == "After"


def test_generation_hands_its_whole_time_to_the_log_too(tmp_path):
    log = SystemLog(tmp_path / "log.csv", 10, Script(FULL))
    watched = generate(tiny_model(), [[1, 2]], Sampling(max_new=4), log)
    assert watched == generate(tiny_model(), [[1, 2]], Sampling(max_new=4))
    assert [row["Event"] for row in rows(tmp_path / "log.csv")] == ["Before", "During", "After"]


# The sensors of this very machine


def test_available_is_available_and_the_process_is_this_one():
    sensors = Sensors("cpu", temperatures=dict)
    sensors.start()
    reading, memory = sensors.read(), psutil.virtual_memory()
    assert reading.available_ram == pytest.approx(memory.available, rel=0.2)
    assert reading.available_share == pytest.approx(1 - memory.percent / 100, abs=0.1)
    assert reading.process_ram == pytest.approx(psutil.Process(os.getpid()).memory_info().rss, rel=0.2)
    assert 0 <= reading.cpu_share <= 1 and reading.name == processor_name() != ""
    assert (reading.gpu_name, reading.gpu_memory, reading.celsius) == ("", None, None)


def test_taking_memory_lowers_what_is_available_and_raises_the_process(tmp_path):
    sensors = Sensors("cpu")
    sensors.start()
    before = sensors.read()
    with mmap.mmap(-1, 200 << 20) as held:  # not by malloc, which keeps freed memory once a training said so
        for _ in range(200):
            held.write(os.urandom(1 << 20))
        after = sensors.read()
        assert after.process_ram - before.process_ram == pytest.approx(len(held), rel=0.1)


def test_a_busy_processor_is_seen():
    sensors = Sensors("cpu")
    sensors.start()
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        sum(range(1000))
    assert sensors.read().cpu_share >= 0.5 / psutil.cpu_count()


def test_this_process_is_told_from_others(tmp_path):
    sensors = Sensors("cpu")
    sensors.start()
    before, end = sensors.read(), time.monotonic() + 0.5
    while time.monotonic() < end:
        sum(range(1000))
    after = sensors.read()
    assert before.process_cpu is not None and 0.1 < after.process_cpu <= psutil.cpu_count() + 0.5


def test_the_processors_temperature_is_no_disks():
    chips = {
        "acpitz": [shwtemp("", 27.8, None, None)],
        "nvme": [shwtemp("Composite", 66.0, 80, 85)],
        "k10temp": [shwtemp("Tctl", 61.5, None, None), shwtemp("Tccd1", -273.0, None, None)],
    }
    assert processor_celsius(chips) == 61.5
    assert processor_celsius({"coretemp": [shwtemp("Package id 0", None, 1, 1)], **chips}) == 61.5
    assert processor_celsius({"acpitz": chips["acpitz"]}) is None
    hot = Sensors("cpu", temperatures=lambda: chips)
    hot.start()
    assert hot.read().celsius == 61.5


@pytest.mark.parametrize(
    "error", [OSError("no such file"), psutil.AccessDenied(), NotImplementedError(), RuntimeError()]
)
def test_a_sensor_that_fails_is_empty_and_harms_no_other(error):
    def fail():
        raise error

    sensors = Sensors("cpu", temperatures=fail)
    sensors.start()
    assert sensors.read().celsius is None and sensors.read().available_ram > 0
    assert known(fail) is None


def test_a_driver_without_an_answer_leaves_the_temperature_empty():
    import pynvml

    with pytest.raises(pynvml.NVMLError):  # this test runs where NVML was never started
        pynvml.nvmlDeviceGetHandleByUUID("GPU-0")
    assert nvml_celsius(pynvml, "0") is None


def test_a_reading_is_told_in_a_line_without_what_is_missing():
    assert describe(FULL) == "A 40; process 500.00 MB; 8.0000 GB available; GPU 3000.00 MB; 50.0 / 122.0 C / F"
    assert describe(BARE) == "Some CPU; process 500.00 MB; 8.0000 GB available"
