"""The benchmark: nnjit and its peers do the same work on the same machine, in turn.

A *workload* is done by *contenders*, functions of the peers, each in a process of its own. The first run of
each, which compiles and warms up, is not counted. Each is tried with one thread and with all, and keeps the
better. Then they take turns, and their medians are compared.

In reading order: `tasks`, what a contender is given; `workloads`, what is measured and who takes part; the
peers' functions, `nnjit_peer`, `numpy_peer`, `sklearn_peer`, `torch_peer` and `jax_peer`; `process`, a
contender's process; `measure`, trials, turns and comparison; `limits` and `machine`, what the machine is and
can do; `table`, the text; `main`, the command.
"""
from .main import add_arguments, run
