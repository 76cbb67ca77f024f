"""Names that are no text: processes of other people with names in any bytes, which guards must look past."""

import os
import signal
import subprocess
import sys

import pytest

from mmrc_helpers.execution import guard

NAMES = {
    "Latin-1": b"gr\xf6\xdfer",
    "cut off within a letter": "éééééééé".encode()[:15],
    "brackets": b"a) Z 1 (b",
}
SLEEP = """
import sys, time
from mmrc_helpers.execution import guard
guard.prctl(guard.SET_NAME, bytes.fromhex(sys.argv[1]))
print("named", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux shows names in /proc")
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_process_with_an_odd_name_is_found_like_any_other(name):
    process = subprocess.Popen([sys.executable, "-c", SLEEP, name.hex()], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "named\n"
        assert process.pid in guard.descendants(os.getpid())
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
