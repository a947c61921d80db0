"""The balancing policies on hubs and connections that do not exist: a discrete-event simulation.

The policies are the objects that the broker runs, and see what it would show them. All but `command` need
numpy (`pip install actorrpc[simulate]`); nothing here imports gevent or starts a process.
"""
