"""The epoch loop: batches, steps, evaluation, callbacks."""
import contextlib
import functools
import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from .._numba.jit import Stopwatch
from .._numba.threads import get_threads, parallel_region
from .._numba.warning import warn
from ..inference import block_rows, for_each_block
from ..inputs.batches import Every
from ..inputs.checks import check_count, shown
from ..kernels import random
from ..metrics import Metrics
from .backup import BackupAndRestore
from .callbacks import Callback, Callbacks, CSVLogger, ModelCheckpoint, as_callbacks, call_all, of_batches
from .history import History, Logs
from .progress import Progress
from .ranks import Ranks
from .shards import Gradients, Shards
from .state import SUMS, TrainingState

BATCH_ROWS = 32    # of arrays, by default


class Plan(NamedTuple):
    """How `fit` trains."""

    epochs: int
    batch_size: int | None    # None: `BATCH_ROWS`, or a block of a stream
    validate_every: int
    shuffle: bool
    callbacks: tuple[Callback, ...]
    verbose: object
    began: int = 0    # the first epoch
    shards: Shards | None = None

    def settings(self) -> tuple[Any, ...]:
        """Return what has to be the same on all ranks."""
        return (self.epochs, self.batch_size, self.validate_every, self.shuffle, self.began,
                self.shards and self.shards.count)


def make_plan(epochs: int, batch_size: int | None, validate_every: int, shuffle: bool, given: Callbacks,
              verbose: str | int, initial_epoch: int = 0, shards: Shards | None = None) -> Plan:
    """Return the arguments of `Sequential.fit` as a `Plan`; TypeError or ValueError where one is wrong."""
    began = check_count("initial_epoch", initial_epoch, least=0)
    if began >= check_count("epochs", epochs):
        raise ValueError(f"initial_epoch: got {began}, expected less than the {epochs} epochs")
    callbacks, verbose = as_callbacks(given), _checked_verbose(verbose)
    if shards and shards.ranks and not shards.ranks.leads:    # rank 0 prints and writes
        callbacks, verbose = tuple(one for one in callbacks if not isinstance(one, WRITERS)), 0
    return Plan(check_count("epochs", epochs),
                None if batch_size is None else check_count("batch_size", batch_size),
                check_count("validate_every", validate_every), bool(shuffle), callbacks, verbose, began,
                shards)


def _checked_verbose(verbose):
    if not isinstance(verbose, (str, int)) or verbose not in ("auto", 0, 1):
        raise ValueError(f"verbose: got {shown(verbose)}, expected 'auto', 0 or 1")
    return verbose


def fit(model: Any, data: Any, validation: Any, state: TrainingState, plan: Plan,
        watch: Stopwatch) -> History:
    """Train ``model`` on the `Examples` ``data``, from ``state`` on; see `Sequential.fit`, which has checked
    everything.

    ``state`` is changed as the training goes on. ``validation`` are Examples, or None. ``watch`` was started
    at the beginning.
    """
    graph, workspaces, state.watch = data.graph, data.graph.workspaces(), watch
    if plan.shards and data.waits:
        raise ValueError("shards: got a stream of blocks with them, expected arrays")
    if data.waits:
        plan = plan._replace(shuffle=False)    # the order of a stream is its own
    elif plan.batch_size is None:
        plan = plan._replace(batch_size=BATCH_ROWS)
    sharded = plan.shards
    ranks = sharded.ranks if sharded else None
    backups = [callback for callback in plan.callbacks if isinstance(callback, BackupAndRestore)]
    settings = {"seed": state.seed, "batch_size": plan.batch_size, "shuffle": plan.shuffle,
                "validate_every": plan.validate_every, "began": plan.began,
                **({"shards": sharded.count} if sharded else {})}
    for backup in backups:
        backup.begin(state, plan.callbacks, settings, {"data": data, "validation": validation})
    if ranks:
        _share(state, ranks, [one for one in plan.callbacks if not isinstance(one, WRITERS)])
    shown = Progress(plan.epochs, plan.verbose, plan.began)
    with contextlib.ExitStack() as stack, parallel_region(), shown as progress:
        for backup in backups:
            stack.enter_context(backup.interrupts_deferred())
        for examples in filter(None, (data, validation)):
            stack.callback(examples.close)
        fixed = None
        if not (plan.shuffle or sharded):
            fixed = data.fixed_batches(plan.batch_size, single_pass=plan.epochs == 1)
        validation = validation and Evaluation(validation, state.metrics, repeated=True, ranks=ranks)
        race = graph.race("training", plan.batch_size or len(data))
        divisor, after_batch = functools.cache(data.divisor), of_batches(plan.callbacks)
        if sharded:    # what has come of a part of an epoch lies on all ranks: backups wait for its end
            after_batch = [callback for callback in after_batch if callback not in backups]
        train = functools.partial(_train_sharded_epoch, shards=sharded) if sharded else _train_epoch
        call_all(plan.callbacks, "on_train_begin", state, {})
        logs = {}
        while state.epoch < plan.epochs and not state.stop:
            call_all(plan.callbacks, "on_epoch_begin", state, {})
            done = state.batch    # in an epoch that goes on from a backup
            order = None if fixed else _order(len(data), state, plan.shuffle)[done * (plan.batch_size or 0):]
            if sharded:
                # of arrays both are there
                batches = sharded.batches(data, plan.batch_size, order)    # type: ignore[arg-type]
            elif fixed:
                batches = itertools.islice(fixed(), done, None)
            else:
                batches = data.batches(plan.batch_size, order)
            with race.timed(batches, data.waits) as batches:
                logs = train(graph, batches, divisor, state, workspaces, after_batch)
            if validation and (state.epoch % plan.validate_every == 0 or state.epoch == plan.epochs - 1):
                logs.update(_validate(validation, state))
            logs["seconds"], state.history.compile_seconds = state.seconds(), watch.compile_seconds
            _end_epoch(state, logs, plan, progress, len(data))
            if ranks:
                state.stop = any(ranks.gathered(state.stop))
            for backup in backups:
                backup.between_epochs(state)
        call_all(plan.callbacks, "on_train_end", state, logs)
        for backup in backups:
            backup.over()
    return state.history


WRITERS = BackupAndRestore, CSVLogger, ModelCheckpoint    # callbacks of rank 0 alone


def _share(state, ranks, callbacks):
    """Let all ranks go on from where rank 0 stands, which may have read a backup."""
    graph, optimizer, history = state.model.graph, state.optimizer, state.history
    if ranks.leads:
        names = "iterations", "slots", "learning_rate"
        told = {"arrays": (graph.vector, graph.state_vector), "epoch": state.epoch, "resumed": state.resumed,
                "optimizer": {name: optimizer.__dict__[name] for name in names}, "history": vars(history),
                "callbacks": [callback.state() for callback in callbacks]}
        ranks.of_leader(told)
        return
    told = ranks.of_leader(None)
    for own, given in zip((graph.vector, graph.state_vector), told["arrays"]):
        own[:] = given
    optimizer.__dict__.update(told["optimizer"])
    history.__dict__.update(told["history"])
    state.epoch, state.resumed = told["epoch"], told["resumed"]
    for callback, remembered in zip(callbacks, told["callbacks"] if state.resumed else ()):
        callback.load_state(remembered)


def _order(N, state, shuffled=True):
    """Return the order of the rows in the epoch that begins at this step."""
    if not shuffled:
        return np.arange(N)
    return random.generator(random.ROW_ORDER, state.seed, state.steps - state.batch).permutation(N)


def _train_epoch(graph, batches, divisor, state, workspaces, after_batch):
    """Take a step for every batch; return the means over the epoch, as far as it was trained."""
    sums, optimizer, frozen = _Sums(graph.head, state.metrics), state.optimizer, graph.frozen()
    metrics = state.metrics if state.metrics.names else None
    state.sums = sums.load(*state.partial) if state.partial else sums
    state.partial = None
    for number, batch in enumerate(batches, state.batch):
        N, workspace = batch.rows, workspaces[len(batch.x)]
        found = graph.loss_and_gradient(batch, divisor(N), workspace, optimizer.iterations)
        finite = sums.add(N, *found)
        if metrics:
            sums.tally.add(metrics.of(graph.as_head_rows(workspace.arrays[-1]), batch.y, batch.w))
        if not (finite or state.diverged):
            _warn_diverged(graph, workspace, state, number)
        _take_step(graph, optimizer, frozen)
        if graph.committing:
            graph.commit(workspace)
        if after_batch:
            state.batch = number + 1
            call_all(after_batch, "on_batch_end", state, _batch_logs(graph.head, [(N, *found)]))
            if state.stop:
                break
    state.batch, state.sums = 0, None
    return sums.means()


def _train_sharded_epoch(graph, batches, divisor, state, workspaces, after_batch, shards):
    """As `_train_epoch`, of batches in shards; what they came to is summed up shard by shard, and over ranks
    at the end.
    """
    optimizer, frozen = state.optimizer, graph.frozen()
    metrics = state.metrics if state.metrics.names else None
    sums = {s: _Sums(graph.head, state.metrics) for s in shards.own}
    gradients, penalty, rows = Gradients(graph, shards), 0.0, 0
    for number, batch in enumerate(batches):
        N, total, of_batch = batch.rows, divisor(batch.rows), []
        for part in batch.parts:
            workspace = workspaces[len(part.batch.x)]
            workspace.begin_at(part.first_row)
            found = graph.loss_and_gradient(part.batch, total, workspace, optimizer.iterations, False)
            if not (sums[part.number].add(part.batch.rows, *found) or state.diverged):
                _warn_diverged(graph, workspace, state, number)
            if metrics:
                z = graph.as_head_rows(workspace.arrays[-1])
                sums[part.number].tally.add(metrics.of(z, part.batch.y, part.batch.w))
            of_batch.append((part.batch.rows, *found[:3]))
            gradients.add(part, workspace)
        gradients.put(batch.filled)
        own_penalty = graph.penalise(with_gradient=True) if graph.penalised else 0.0
        penalty, rows = penalty + N * own_penalty, rows + N
        _take_step(graph, optimizer, frozen)
        if after_batch:
            found = [(*sums_of_part, own_penalty) for sums_of_part in shards.of_all(of_batch)]
            call_all(after_batch, "on_batch_end", state, _batch_logs(graph.head, found))
            if shards.ranks:
                state.stop = any(shards.ranks.gathered(state.stop))
            if state.stop:
                break
    return _joined(graph.head, state.metrics, shards, [sums[s] for s in shards.own], penalty, rows).means()


def _joined(head, metrics, shards, own, penalty, rows):
    """Return the `_Sums` over all shards, in their order."""
    total = _Sums(head, metrics)
    for plain, tally in shards.of_all([sums.state() for sums in own]):
        one = _Sums(head, metrics).load(plain, tally)
        total.add(one.rows, one.loss, one.metric, one.weight, 0.0)
        total.tally.add(tally)
    total.penalty, total.rows = penalty, rows
    return total


def _take_step(graph, optimizer, frozen):
    """Take a step; it leaves the parameters of frozen layers, and their part of the gradient's length."""
    before = [parameter.copy() for parameter, _ in frozen]
    for _, gradient in frozen:
        gradient[...] = 0
    optimizer.step(graph.vector, graph.gradient_vector, graph.decayed)
    for (parameter, _), values in zip(frozen, before):
        parameter[...] = values


def _batch_logs(head, found):
    """Return the logs of a batch, from (rows, loss, metric, weight, penalty) of its parts."""
    sums = _Sums(head, Metrics(head, 0))
    for part in found:
        sums.add(*part)
    return sums.means()


def _validate(validation, state):
    """Return the means over the validation data, ``{"val_loss": ..., ...}``."""
    found = validation.run()
    if not (math.isfinite(found["loss"]) or state.diverged):
        state.diverged = True
        warn(f"fit: got a validation loss that is not finite after epoch {state.epoch}, at the learning rate "
             f"{state.optimizer.rate():g}; try a smaller learning rate, or clip_norm", RuntimeWarning)
    return {f"val_{name}": value for name, value in found.items()}


def _warn_diverged(graph, workspace, state, number):
    """Warn, once in a training, that the loss of this batch is not finite, and say where that began."""
    state.diverged = True
    layer = workspace.first_nonfinite()
    where = "the head" if layer is None else f"layer {layer}, {graph.layers[layer]!r}"
    warn(f"fit: got a loss that is not finite in epoch {state.epoch}, batch {number}, at the learning rate "
         f"{state.optimizer.rate():g}, where {where} is the first whose output is not finite; try a smaller "
         "learning rate, or clip_norm", RuntimeWarning)


def _end_epoch(state, logs, plan, progress, rows):
    """Note what was measured; also where a callback raises, the epoch is over."""
    state.history.add(state.epoch, logs)
    progress.show(state.epoch, logs, rows)
    try:
        call_all(plan.callbacks, "on_epoch_end", state, logs)
    finally:
        state.epoch += 1


class Evaluation:
    """The evaluation of `Examples`, without dropout: once, or ``repeated`` after every epoch."""

    def __init__(self, data: Any, metrics: Metrics, repeated: bool = False, ranks: Ranks | None = None):
        self.graph, self.metrics, self.repeated = data.graph, metrics, repeated
        self.spare: list[Any] = []
        self.ranks = ranks    # which share the blocks out
        self.passes = data.blocks(functools.partial(block_rows, data.graph), kept=repeated)

    def run(self) -> Logs:
        """Return the mean loss, with the penalty, the head's metric, and those that were asked for."""
        sums, penalty = _Sums(self.graph.head, self.metrics), self.graph.penalise()
        with parallel_region():
            for N, blocks in self.passes():
                race = self.graph.race("validation", N, {1, get_threads()}, max) if self.repeated else None
                for rows, (loss, metric, weight), measured in self._of_blocks(blocks, N, race):
                    sums.add(rows, loss, metric, weight, penalty)
                    sums.tally.add(measured)
        return sums.means()

    def _of_blocks(self, blocks, N, race):
        """Return what `_measure` returns for each of the blocks, in order."""
        if self.ranks is None:
            return for_each_block(self.graph, blocks, self._measure, N, self.spare, race)
        ranks, size = self.ranks, self.ranks.size
        own = Every(blocks, ranks.rank, size)
        found = for_each_block(self.graph, own, self._measure, N, self.spare, race) if len(own) else []
        given = ranks.gathered(list(found))
        return [given[k % size][k // size] for k in range(len(blocks))]

    def _measure(self, block, workspace):
        found = self.graph.loss(block, workspace)
        return block.rows, found, self.metrics.of(self.graph.as_head_rows(workspace.arrays[-1]), block.y,
                                                  block.w)


class _Sums:
    """The sums that a head returns, the penalties, and the metrics' tally, added up over batches."""

    def __init__(self, head, metrics: Metrics):
        self.head, self.metrics, self.tally = head, metrics, metrics.tally()
        self.loss, self.metric, self.weight, self.penalty, self.rows = 0.0, 0.0, 0.0, 0.0, 0

    def add(self, rows, loss, metric, weight, penalty):
        """Add what a batch of so many rows came to; return whether the sum of the losses is finite."""
        self.loss = self.loss + loss    # not in place: an array may be the head's
        self.metric = self.metric + metric
        self.weight = self.weight + weight
        self.penalty += rows * penalty
        self.rows += rows
        return math.isfinite(self.loss) if type(self.loss) is float else np.isfinite(self.loss).all()

    def state(self) -> tuple[dict[str, Any], list[Any]]:
        """Return the sums as plain values, and those of the tally."""
        return {name: np.asarray(getattr(self, name)).tolist() for name in SUMS}, self.tally.sums()

    def load(self, plain: dict[str, Any], tally: list[Any]) -> "_Sums":
        """Go on from what `state` returned."""
        for name in SUMS:
            value = plain[name]
            setattr(self, name, np.array(value) if isinstance(value, list) else value)
        self.tally.load(tally)
        return self

    def means(self):
        means = self.head.means(self.loss, self.metric, self.weight)
        figures = self.metrics.figures(self.tally, means["loss"])
        if self.penalty:
            means["loss"] += self.penalty / self.rows
        return means | figures
