"""A command killed before each of its changes of the disk in turn, each time on a copy of the same folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import os, shutil, signal, sys
from pathlib import Path
folder, copies, command = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
sys.path.insert(0, sys.argv[4])
exec(command.partition(";")[0])
WATCHED = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree"}
for number in range(1, 1000):
    out = copies / str(number)
    shutil.copytree(folder, out)
    child = os.fork()
    if not child:
        seen = 0
        def watch(event, arguments):
            global seen
            if event in WATCHED or event == "open" and isinstance(arguments[1], str) and "w" in arguments[1]:
                seen += 1
                if seen == number:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(watch)
        exec(command)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status == 0:
        print(number)
        break
    assert os.WIFSIGNALED(status), status
"""


def killed_at_every_change(folder: Path, copies: Path, command: str) -> int:
    """Run a command on `copies`/1, `copies`/2 and so on until it is through, and return how many there are.

    Args:
        folder: What each is a copy of.
        copies: A new folder.
        command: Python: an import, which finds what lies beside this file too, a semicolon, and what acts on the folder
            `out`.
    """
    program = [sys.executable, "-c", _PROGRAM, str(folder), str(copies), command, str(Path(__file__).parent)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)
