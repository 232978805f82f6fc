"""What people see of a session: the live display while it runs, and the screens around it.

The display is only a reader of the journal and of the output files. Nothing that happens to a
terminal can slow or break the session.
"""
