"""The process that starts hubs, watches them, and starts again those that die.

It is only a control plane: no connection goes through it, and none notices when it dies. ``serve`` is for
those who want a server, ``admin`` is how the command line asks a running one, and ``supervisor`` keeps the
hubs going. What it is made of: ``processes``, what these are ``sharing``, the ``moves`` of connections,
``deploying``, ``watching``, the ``host``, and ``events``, one after the other.
"""
