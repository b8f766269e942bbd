"""Runs Python programs in forks of one process that has imported their modules.

usage: preload.py MODULE...

Each connection to the socket that it inherits asks for a program; preload_client.py
sends it. Ends with its standard input.
"""

import array
import atexit
import gc
import importlib
import marshal
import os
import runpy
import select
import signal
import socket
import struct
import sys
import threading
import traceback
import types


def main(modules):
    listener = socket.socket(fileno=3)
    listener.set_inheritable(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests: they stop what they started
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # the forks share the pages
    serve(listener)


def serve(listener):
    poll = select.poll()
    poll.register(sys.stdin, 0)
    poll.register(listener, select.POLLIN)
    running = {}  # by each of the two file descriptors: connection, process, its descriptor
    while True:
        for fd, event in poll.poll():
            if fd == sys.stdin.fileno():
                for _, pid, _ in running.values():
                    os.kill(pid, signal.SIGKILL)
                return
            if fd == listener.fileno():
                connection, _ = listener.accept()
                pid = os.fork()
                if pid == 0:
                    listener.close()
                    for other, _, _ in running.values():
                        other.close()
                    run(connection)
                ended = os.pidfd_open(pid)
                running[ended] = running[connection.fileno()] = connection, pid, ended
                poll.register(ended, select.POLLIN)
                poll.register(connection, 0)  # tells when the client is gone
                continue
            if fd not in running:
                continue
            connection, pid, ended = running[fd]
            if fd != ended:
                poll.unregister(connection)
                os.kill(pid, signal.SIGKILL)
                continue
            del running[ended], running[connection.fileno()]
            poll.unregister(ended)
            try:
                poll.unregister(connection)
            except KeyError:
                pass
            _, status = os.waitpid(pid, 0)
            os.close(ended)
            try:
                connection.sendall(struct.pack("i", os.waitstatus_to_exitcode(status)))
            except OSError:
                pass
            connection.close()


def run(connection):
    """Becomes the program that the client asks for, in the client's process group."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        executable, argv = receive(connection)
        code = execute(executable, argv)
        threading._shutdown()  # these two are what the interpreter does at its end
        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                pass  # nobody reads, or the program has closed it
        os._exit(code)


def receive(connection):
    descriptors = array.array("i")
    _, ancillary, _, _ = connection.recvmsg(1, socket.CMSG_SPACE(3 * descriptors.itemsize))
    if not ancillary:
        os._exit(1)  # the client was killed before it asked
    descriptors.frombytes(ancillary[0][2])
    with connection.makefile("rb") as f:
        request = marshal.load(f)
    connection.close()
    os.setpgid(0, request["group"])
    for to, descriptor in enumerate(descriptors):
        os.dup2(descriptor, to)
        os.close(descriptor)
    os.nice(max(request["nice"] - os.nice(0), 0))
    os.umask(request["umask"])
    os.chdir(request["dir"])
    os.environ.clear()
    os.environ.update(request["env"])
    return request["executable"], request["argv"]


def execute(executable, argv):
    """Runs a command line and returns the exit code as the interpreter would."""
    try:
        interpret(executable, argv)
    except SystemExit as e:
        if e.code is None or isinstance(e.code, int):
            return (e.code or 0) & 0xFF
        print(e.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def interpret(executable, argv):
    if "numpy" in sys.modules:  # the random module does so by itself
        sys.modules["numpy"].random.seed()
    if os.path.basename(argv[0]) != "python":
        # What it starts of Python is forked here as well.
        sys.executable = os.path.join(os.path.dirname(executable), "python")
        sys.argv, sys.path[0] = argv, os.path.dirname(argv[0])
        runpy.run_path(argv[0], run_name="__main__")
    elif argv[1:2] == ["-c"]:
        sys.argv, sys.path[0] = ["-c", *argv[3:]], ""
        module = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(argv[2], "<string>", "exec"), module.__dict__)
    elif argv[1:2] == ["-m"]:
        sys.argv, sys.path[0] = argv[2:], os.getcwd()
        runpy.run_module(argv[2], run_name="__main__", alter_sys=True)
    else:
        os.execv(argv[0], argv)


if __name__ == "__main__":
    main(sys.argv[1:])
