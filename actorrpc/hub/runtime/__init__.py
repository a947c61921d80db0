"""What code of an app runs on in a hub process, and what keeps it from stopping or ending that.

For those who call an app's code: ``runners``, the stacks it runs on. The rest is for ``hub.__main__``
alone: it makes libraries cooperate that gevent does not see to, and keeps the process going whatever an app
raises.
"""
