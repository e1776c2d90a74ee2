"""The worker: a process that holds objects and runs calls, in the user's interpreter.

It needs the standard library and cloudpickle, nothing else.
"""
