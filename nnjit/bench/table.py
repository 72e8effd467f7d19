"""What was measured, as text."""


def table(result: dict) -> str:
    """Return a workload's result, as of `measure.measure_workload`, as text."""
    rows = sorted(result["contenders"], key=lambda row: row["median"])
    against = next((row["contender"] for row in rows if row["reference"]), "none")
    lines = [_line("contender", "threads", "(tried)", "median", "min", "x " + against, "compile", "loss",
                   "accuracy", "epochs", "of peak", "same work")]
    lines += map(_row_line, rows)
    lines += [f"{label} is left out: {reason}" for label, reason in result["failed"].items()]
    return "\n".join(lines)


def _row_line(row):
    tried = " ".join(f"{n}: {_time(seconds)}" for n, seconds in row["trials"].items() if seconds)
    same_work = row["note"] if row["note"] and row["same_work"] == "unknown" else row["same_work"]
    return _line(row["contender"], row["threads"], f"({tried})" if tried else "",
                 _time(row["median"]), _time(row["min"]), f"{row['ratio']:.2f}",
                 "-" if row["compile"] is None else _time(row["compile"]),
                 _figure(row["loss"], ".4f"), _figure(row["accuracy"], ".4f"), _figure(row["epochs"], ".0f"),
                 _figure(row.get("of_peak"), ".0%"), same_work)


def _line(contender, threads, tried, *figures):
    *figures, last = figures
    columns = "".join(f"{figure:>10}" for figure in figures)
    return f"{contender:<20}{threads:>8} {tried:<25}{columns}  {last}"


def _time(seconds):
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def _figure(value, form):
    return "-" if value is None else format(value, form)
