"""The live page: the sessions of this machine in a browser, as they run and as they were.

It only reads journals and records, and acts through what the command line acts through: it leaves
notes, asks guards to stop, starts recoveries. It may crash, be slow or be absent without touching
a session.
"""
