"""``actbench doctor``: what on this machine disturbs timing, and how to mend it."""

from __future__ import annotations

from actbench.cli.options import AsJson, Quiet
from actbench.cli.progress import waiting


def doctor(
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find what disturbs timing on this machine, and how to mend it.

    Equal work is measured for two seconds, and the counters of the system
    are read before and after. Exit 0 whatever is found: it is no verdict.
    """
    from actbench.bench.doctor import examine
    from actbench.present import diagnosis, output

    with waiting("measuring the noise of this machine for 2 s ...", quiet):
        found = examine()
    if as_json:
        output.write_text(output.json_text(found), output.STDOUT)
    else:
        output.display(diagnosis.terminal(found))
