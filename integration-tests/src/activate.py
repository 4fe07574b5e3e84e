"""Starts a program as a service manager does that holds its sockets (sd_listen_fds(3)).

activate.py KIND[,KIND...] PROGRAM ARG...    KIND: tcp, tcp-everywhere, unix:PATH, udp, tcp-unheard, file
"""
import fcntl, os, socket, sys


def make(kind):
    if kind == "file":
        return open("/dev/null")
    if kind.startswith("unix:"):
        made = socket.socket(socket.AF_UNIX)
        made.bind(kind.removeprefix("unix:"))
    else:
        made = socket.socket(type=socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        made.bind(("0.0.0.0" if kind == "tcp-everywhere" else "127.0.0.1", 0))
    if kind not in ("udp", "tcp-unheard"):
        made.listen()
    return made


made = [make(kind) for kind in sys.argv[1].split(",")]
# Out of the way first: the numbers that they are to have may be taken by others of them.
above = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 64) for one in made]
for number, one in enumerate(above):
    os.dup2(one, 3 + number, inheritable=True)
os.environ |= {"LISTEN_FDS": str(len(made)), "LISTEN_PID": os.environ.get("LISTEN_PID", str(os.getpid()))}
os.execv(sys.argv[2], sys.argv[2:])
