"""FAST?: plan, clock, statistics, machine, ceiling and run."""
