"""Copies that can be trusted: hashed while they are made, verified by reading them back.

`engine` copies many files to one or more places, on top of `streaming` (one file, read once),
`disk` (what the disk has, past the cache), `places` (where copies go) and `trust` (what has
arrived already). `receipt`, `queue`, `watchdog` and `modalities` are for whole sessions.
"""
