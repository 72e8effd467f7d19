"""The benchmark: nnjit and its peers do the same work on the same machine, in turn.

A *workload* (`workloads`) is done by *contenders* (`<peer>_peer.py`), each in a process of its own
(`process`). The first run of each, which compiles and warms up, is not counted; each is tried with one thread
and with all, and keeps the better; then they take turns, and their medians are compared (`measure`).
"""
from .main import add_arguments, run
