"""The task's size, from what was measured on the host. CPU in units, memory in MiB."""

from __future__ import annotations

from hikkoshi.fargate.sizes import describe_sizes, nearest_size, parse_cpu, parse_memory
from hikkoshi.model.survey import Host, Unit
from hikkoshi.plan.choice import Notebook

SIDECAR_MIB = 64
"""memoryReservation of the router and of the trace collector."""
_CPU_HEADROOM = 2.0
_MEMORY_HEADROOM = 1.5
_UNMEASURED = (256, 1024)


def choose_size(host: Host, unit: Unit, sidecars: int, notebook: Notebook) -> tuple[int, int]:
    mine = [process for process in host.processes if process.unit == unit.name]
    if not mine:
        cpu, memory = _UNMEASURED
        because = (
            "no process of it was seen, so nothing was measured: the smallest CPU, with memory "
            "enough for most services; a rehearsal says whether it is too little (the rule "
            "saturates-task-cpu), a survey of the running host gives figures"
        )
        said_cpu = notebook.question("cpu", "CPU units of the task?", str(cpu), because)
        said_memory = notebook.question("memory", "Memory of the task, MiB?", str(memory), because)
        return _checked(said_cpu, said_memory)
    share = max(sum(p.cpu_share for p in mine), sum(p.cpu_share_of_life for p in mine))
    peak = sum(p.peak_mib for p in mine)
    wanted_cpu = round(share * 1024 * _CPU_HEADROOM)
    wanted_mib = round(peak * _MEMORY_HEADROOM + sidecars * SIDECAR_MIB)
    cpu, memory = nearest_size(wanted_cpu, wanted_mib)
    said_cpu = notebook.note(
        "cpu",
        str(cpu),
        f"{share:.2f} of a core was used (the greater of {host.window_s:.0f} s and its whole "
        f"life), twice that for peaks is {wanted_cpu} units",
        *(f"pid {p.pid} {p.name}: {p.cpu_share:.2f} now, {p.cpu_share_of_life:.2f} ever"
          for p in mine[:8]),
    )  # fmt: skip
    said_memory = notebook.note(
        "memory",
        str(memory),
        f"{peak:.0f} MiB at its highest, half as much again, and {SIDECAR_MIB} MiB for each of "
        f"{sidecars} sidecars: {wanted_mib} MiB",
        *(f"pid {p.pid} {p.name}: {p.peak_mib:.0f} MiB" for p in mine[:8]),
    )
    return _checked(said_cpu, said_memory)


def _checked(cpu_text: str, memory_text: str) -> tuple[int, int]:
    from hikkoshi.base.errors import BadInput

    try:
        cpu, memory = parse_cpu(cpu_text), parse_memory(memory_text)
    except ValueError as error:
        raise BadInput(str(error), where="answers: cpu, memory") from error
    if nearest_size(cpu, memory) != (cpu, memory):
        raise BadInput(
            f"Fargate sells no {cpu} CPU units with {memory} MiB",
            where="answers: cpu, memory",
            fix=f"with {cpu}: {describe_sizes(cpu)}",
        )
    return cpu, memory


def choose_nofile(host: Host, unit: Unit, notebook: Notebook) -> tuple[int, int]:
    """(soft, hard), as on the host."""
    seen = [p.nofile for p in host.processes if p.unit == unit.name and p.nofile]
    text = unit.limits.get("LimitNOFILE", "")
    if seen:
        soft, hard = seen[0]
        why = "the running process has it"
    elif text:
        first, _, second = text.partition(":")
        soft = int(first) if first.isdigit() else 65535
        hard = int(second) if second.isdigit() else soft
        why = f"LimitNOFILE={text} in the unit"
    else:
        soft, hard = 1024, 524288
        why = "systemd's default (1024 soft, 524288 hard); the unit says nothing"
    limits = tuple(min(n, 1048576) if n > 0 else 1048576 for n in (soft, hard))
    unlike = [f"the unit says LimitNOFILE={text}: it was not started by it, or before it said so"]
    evidence = unlike if seen and text and text.partition(":")[0] != str(soft) else []
    said = notebook.note("nofile", f"{limits[0]}:{limits[1]}", f"as on the host: {why}", *evidence)
    low, _, high = said.partition(":")
    if not low.isdigit() or not (high or low).isdigit():
        from hikkoshi.base.errors import BadInput

        raise BadInput(f"{said!r} is no limit", where="answers: nofile", fix="write 1024:65535")
    return int(low), int(high or low)
