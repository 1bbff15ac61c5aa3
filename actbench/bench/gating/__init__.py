"""Did a change make it slower? Two versions measured in one job, in turns, and judged by exact tests."""
