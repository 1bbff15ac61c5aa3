"""SHOW: tables, plots and pages of functions and of benchmark runs."""
