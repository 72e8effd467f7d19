"""Recurrent layers over padded sequences: GRU and LSTM, forward and backward, over the valid steps alone.

The valid steps of all sequences are *packed*, one sequence after the other: sequence n has the P = sum of
``lengths`` entries ``first[n] .. first[n] + lengths[n] - 1``, and entry e lies at ``places[e]`` = n T + t. So
what is the same at every step is one dense product of P rows, and no loop tests a mask.

The recurrence itself is one kernel for all steps. Threads share out the sequences, and none waits for another
between two steps. ``order`` names the longest first: the sequences of a thread that are still alive at a step
are its first ones. A step multiplies their states by the recurrent weights in registers: these are packed in
panels of two vectors, and a tile of rows has a sum for each number of a panel. A row's sums do not depend on
the rows beside it, nor on the number of threads.

Shapes: x (N, T, D), mask (N, T), h and all states (P, H); W (D, 3 H) or (D, 4 H), U (H, 3 H) or (H, 4 H).
Gates lie side by side, as in Keras: z, r and candidate c; i, f, candidate g and o.

Sources: K. Cho et al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014; S.
Hochreiter, J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997; F. Gers, J. Schmidhuber, F.
Cummins, "Learning to forget: continual prediction with LSTM", Neural Computation 12, 2000.

`steps` has what all share, `gru` and `reset_gru` the two kinds of GRU, `lstm` the LSTM.
"""
