"""Benchmarks: `npconv bench` times npconv beside whichever peers are installed.

Read in this order: `tasks` (what is timed), `libraries` and `adapters` (who is timed),
`worker` and `client` (a process for each library), `run` (rounds in turn), `ratios` and
`targets` (what came of it), `report` and `picture` (how it is shown).
"""
