"""Watching over the acquisition: the guard that owns it, and the launcher's side of the guard.

Modules that the guard uses import the standard library only, and this file imports nothing.
"""
