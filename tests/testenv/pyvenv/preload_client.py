"""Stands for a Python program: asks the process of preload.py to fork one.

It takes the program's place in every way but for signals, which must go to the
process group, as those of the tests do; when it is killed, so is the program. Where
nobody forks, the program itself runs.
"""

import _socket
import marshal
import os
import signal
import sys

here, name = os.path.split(sys.argv[0])
argv = [os.path.join(os.path.dirname(here), "bin", name), *sys.argv[1:]]
connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
try:
    connection.connect(os.environ["PETAL_TEST_PRELOAD"])
    peer = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    # Of another session it cannot join the group.
    forks = os.getsid(int.from_bytes(peer[:4], sys.byteorder)) == os.getsid(0)
except (KeyError, OSError):
    forks = False
if not forks:
    os.execv(argv[0], argv)
for signum in (signal.SIGINT, signal.SIGTERM):
    signal.signal(signum, signal.SIG_IGN)
descriptors = b"".join(fd.to_bytes(4, sys.byteorder) for fd in range(3))
connection.sendmsg([b"\0"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
umask = os.umask(0o077)
connection.sendall(marshal.dumps({
    "executable": sys.argv[0], "argv": argv, "dir": os.getcwd(), "env": dict(os.environ),
    "umask": umask, "nice": os.nice(0), "group": os.getpgrp(),
}))
for fd in range(3):
    os.close(fd)
answer = connection.recv(4)
code = int.from_bytes(answer, sys.byteorder, signed=True) if answer else 1
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
    os.kill(os.getpid(), -code)
os._exit(code)
