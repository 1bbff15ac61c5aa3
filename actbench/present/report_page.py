"""A benchmark run as one HTML page that needs nothing else: tables, pictures, and every call to sort and to filter.

Its template, its style and its script lie in ``report/``: the script picks, orders and shows what ``report_data``
wrote, and everything above and below its table stands there without it.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

from actbench.bench.run import OURS, Run
from actbench.bench.statistics import ADVICE
from actbench.present import output, quantity, roofs, runs, table, versus
from actbench.present.labels import distinct, processor, settings
from actbench.present.pictures import pictures
from actbench.present.report_data import data
from actbench.present.table import Column, Table, escape
from actbench.present.theme import DARK, LIGHT
from actbench.present.versus import Standing
from actbench.wording import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_REFERENCE = re.compile(r"(\bid=\"|href=\"#|url\(#)")
_FRAME = re.compile(r" (?:xmlns(?::\w+)?|width|height)=\"[^\"]*\"")


def page(run: Run) -> str:
    """The page as one HTML document; it loads nothing and sends nothing."""
    script, style = _part("page.js"), _colours() + _part("page.css")
    return Template(_part("page.html")).substitute(
        # Should markup ever slip through, it runs nothing: the browser takes no script but this one.
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{_digest(script)}'",
        title=escape(_title(run)),
        sentence=escape(_sentence(run)),
        style=style,
        script=script,
        summary=_summary(run),
        pictures=_pictures(run),
        data=data(run),
        flags="".join(f"<dt>{escape(flag)}</dt><dd>{escape(text)}</dd>\n" for flag, text in ADVICE.items()),
        machine=table.html(_machine(run)),
        versions=_scrolled("Libraries", table.html(versus.libraries(run))),
        calls=_section("call-cost", "What a call costs", versus.calls(run)),
        roofs=_section("roofs", "What this machine can do", roofs.roofs(run)),
        notes=_section("notes", "Not timed, and where calls differ", versus.notes(run)),
        skipped=_section("skipped", "Skipped cells", _skipped(run)),
        config=table.html(_config(run)),
        command=escape(run.command),
    )


def _part(name: str) -> str:
    return (resources.files("actbench.present") / "report" / name).read_text("utf-8")


def _digest(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _colours() -> str:
    """The themes of the plots as variables of the page's style."""
    names = {"ground": "background", "ink": "ink", "muted": "muted", "line": "grid"}
    names |= {f"plot-{name}": name for name in ("ink", "muted", "grid", "background")}
    pairs = {name: (getattr(LIGHT, key), getattr(DARK, key)) for name, key in names.items()}
    pairs |= {"ahead": (LIGHT.colours[0], DARK.colours[0]), "behind": (LIGHT.colours[1], DARK.colours[1])}
    pairs |= {
        f"plot-{i}": pair for i, pair in enumerate(zip(LIGHT.colours, DARK.colours, strict=True), start=1)
    }
    plain = "".join(f"  --{name}: {light};\n" for name, (light, _) in pairs.items())
    both = "".join(f"  --{name}: light-dark({light}, {dark});\n" for name, (light, dark) in pairs.items())
    # Browsers before 2024 take light-dark() for no colour at all.
    return f":root {{\n{plain}}}\n@supports (color: light-dark(#000, #fff)) {{\n:root {{\n{both}}}\n}}\n"


def _title(run: Run) -> str:
    functions = distinct(m.cell.function for m in run.cells)
    return f"{functions[0] if len(functions) == 1 else f'{len(functions)} functions'}, benchmarked"


def _sentence(run: Run) -> str:
    """What was measured, when, on what and beside whom."""
    functions = distinct(m.cell.function for m in run.cells)
    what = functions[0] if len(functions) == 1 else f"{len(functions)} functions"
    when = f"{run.created[:10]} at {run.created[11:16]} UTC"
    cores = f" ({run.machine.cores} cores)" if run.machine.cores else ""
    peers = [f"{name} {peer.version}" for name, peer in run.peers.items() if not peer.fault]
    beside = f" beside {' and '.join(filter(None, (', '.join(peers[:-1]), peers[-1])))}" if peers else ""
    unfinished = "" if run.complete else "; the run is unfinished"
    return (
        f"{what} in {len(run.cells):,} {'cell' if len(run.cells) == 1 else 'cells'}, measured on {when} "
        f"on {processor(run)}{cores} "
        f"with {OURS} {run.versions.get(OURS) or ''}".rstrip()
        + f"{beside}{unfinished}."
    )


def _summary(run: Run) -> str:
    """How the run stands beside its peers, a table a pass; without peers the speed of each function."""
    found = [s for s in versus.standing(run) if s.cells]
    if not found:
        return _scrolled("Speed of every function", table.html(runs.summary(run))) if run.cells else ""
    setting = settings(run.sized)
    parts: dict[str, list[Standing]] = {}
    for s in found:
        parts.setdefault(f"{s.pass_} {setting(s.threads, s.cache)}".rstrip(), []).append(s)
    title = "Every function beside its best peer"
    functions = _folded(title, _scrolled(title, table.html(versus.by_function(run))))
    caption = f'<p class="caption">{escape(versus.standings(run).caption)}</p>'
    standings = "".join(_standings(*part) for part in parts.items())
    return f'<div class="standings">{standings}</div>\n{caption}\n{functions}'


def _standings(title: str, found: Sequence[Standing]) -> str:
    """One pass, number of threads and state of the cache: its headline, and a line for each peer."""
    best = next(s for s in found if s.peer == versus.BEST)
    heads = "".join(f'<th scope="col" class="figure">{verdict}</th>' for verdict in versus.VERDICTS)
    lines = "".join(
        f'<tr{" class=best" if s is best else ""}><th scope="row">{escape(s.peer)}</th><td>{_bar(s)}</td>'
        + "".join(f'<td class="figure">{getattr(s, verdict)}</td>' for verdict in versus.VERDICTS)
        + f'<td class="figure">{quantity.number(s.mean)} <small>of {s.cells}</small></td></tr>\n'
        for s in found
    )
    return (
        f'<section><h3>{escape(title)}</h3><p class="headline"><b>{quantity.number(best.mean)}&times;</b> '
        f"<span>as fast as the best peer of each cell: the geometric mean of {counted(best.cells, 'cell')}</span></p>"
        "<table><thead><tr>"
        f'<th scope="col">against</th><td></td>{heads}<th scope="col" class="figure">geometric\nmean</th></tr></thead>'
        f"<tbody>{lines}</tbody></table></section>\n"
    )


def _bar(s: Standing) -> str:
    parts = "".join(
        f'<i class="{verdict}" style="flex-grow:{getattr(s, verdict)}"></i>' for verdict in versus.VERDICTS
    )
    return f'<span class="bar" aria-hidden="true">{parts}</span>'


def _pictures(run: Run) -> str:
    """Every picture, and why one is not there."""
    reasons: list[str] = []
    drawn = "".join(_picture(*each) for each in pictures(run, LIGHT, reasons.append).items())
    return drawn + "".join(f'<p class="caption">{escape(reason)}</p>\n' for reason in reasons)


def _picture(name: str, figure: Figure) -> str:
    title = name.replace("-", " ").replace("_", " ").capitalize()
    drawn = f"<figure>{_scrolled(title, _inline(output.svg_text(figure, LIGHT), name, title))}</figure>\n"
    width, height = figure.get_size_inches()
    # One that is taller than wide would push the table pages down.
    return _folded(title, drawn) if height > width else drawn


def _inline(svg: str, prefix: str, label: str) -> str:
    """An SVG element as a part of the page: its names are its own, its width is the page's."""
    name = re.sub(r"\W", "-", prefix)
    head, _, rest = _REFERENCE.sub(rf"\g<1>{name}-", svg).partition(">")
    return f'{_FRAME.sub("", head)} role="img" aria-label="{escape(label)}">{rest}'


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{content}</details>\n"


def _section(anchor: str, title: str, content: Table) -> str:
    if not content.rows:
        return ""
    body = _scrolled(title, table.html(content))
    return f'<section id="{anchor}"><h2>{escape(title)}</h2>{body}</section>\n'


def _scrolled(label: str, content: str, more: str = "") -> str:
    """What may be wider than the page, in a part of its own that the keyboard reaches."""
    return (
        f'<div class="scroll{more}" role="region" aria-label="{escape(label)}" tabindex="0">{content}</div>'
    )


_FACTS = tuple(Column(title, align="left") for title in ("", " "))


def _machine(run: Run) -> Table:
    """Every field of the machine."""
    shown: Mapping[str, Callable[[Any], str]] = {
        "caches": lambda sizes: ", ".join(f"{name} {quantity.memory(size)}" for name, size in sizes.items()),
        "memory": quantity.memory,
        "clock_ns": lambda ns: f"steps of {quantity.duration(ns)}",
        "turbo": lambda on: "on" if on else "off",
    }
    titles = {
        "cpu": "CPU",
        "os": "operating system",
        "clock_ns": "timer",
        "numba_threads": "threads of Numba",
    }
    rows = []
    for field in dataclasses.fields(run.machine):
        value = getattr(run.machine, field.name)
        text = "unknown" if value is None or value == {} else shown.get(field.name, str)(value)
        rows.append((titles.get(field.name, field.name.replace("_", " ")), text))
    return Table("", _FACTS, tuple(rows))


def _skipped(run: Run) -> Table:
    columns = tuple(Column(title, align="left") for title in ("cell", "", "why"))
    rows = tuple((s.cell, "failed" if s.failed else "skipped", s.reason) for s in run.skipped)
    return Table("", columns, rows)


def _config(run: Run) -> Table:
    """The resolved configuration, and the data where they are the user's own."""
    shown: Mapping[str, Callable[[Any], str]] = {
        "size": quantity.elements,
        "slice": lambda s: quantity.duration(1e9 * s),
        "budget": lambda s: quantity.duration(1e9 * s),
    }
    rows = []
    for key, value in run.config.items():
        values = value if isinstance(value, list | tuple) else [value]
        text = ", ".join(shown.get(key, str)(v) for v in values if v is not None)
        rows.append((key, text or "none"))
    if run.input:
        shape = " x ".join(map(str, run.input.shape))
        rows.append(("input", f"{run.input.path}: {run.input.dtype}, {shape}, SHA-256 {run.input.sha256}"))
    return Table("", _FACTS, tuple(rows))
