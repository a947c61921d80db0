"""A discrete-event simulation of hubs and connections, to try balancing policies on.

The policies are the same objects that the broker runs, and see what it would show them. This needs numpy
(`pip install actorrpc[simulate]`); nothing here imports gevent or starts a process.
"""
