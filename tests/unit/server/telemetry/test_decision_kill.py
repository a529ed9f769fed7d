"""What a killed process leaves of its decision log."""

import signal
import subprocess
import sys
from pathlib import Path

from scripts.layering import ROOT
from server.telemetry.decision import Decision
from server.telemetry.decision_files import decision_files
from server.telemetry.decision_reader import read_log

_WRITER = """
import sys
from pathlib import Path
from server.telemetry.decision import Decision
from server.telemetry.decision_files import DecisionFiles
from server.telemetry.decision_writer import DecisionWriter

files = DecisionFiles(Path(sys.argv[1]), replica_id="killed", max_bytes=2**20, files=100, fsync=False)
writer = DecisionWriter(files, queue_size=100, is_patient=True)
writer.start()
number = told = 0
while True:
    if writer.waiting_count < 100:
        number += 1
        writer.offer(Decision(fields={"n": number}, window=number.to_bytes(4, "little") * 3000, shape=(50, 60)))
    if writer.written_count >= told + 200:
        told = writer.written_count
        print(told, flush=True)
"""


def test_a_killed_process_loses_what_waited_and_nothing_that_was_written(tmp_path: Path) -> None:
    """`kill -9` in the middle of writing: all that was written before is there, intact and in order."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as output:
        told = 0
        while told < 400:
            told = int(output.readline())
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        told = max([told, *map(int, output.read().split())])
    items = [item for _, item in read_log(tmp_path)]
    numbers = [item.fields["n"] for item in items if isinstance(item, Decision)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= told
    for item in items:
        if isinstance(item, Decision):
            assert item.window == item.fields["n"].to_bytes(4, "little") * 3000
        else:
            assert item.is_tail
            assert item.file == decision_files(tmp_path)[-1]
