"""The process that starts hubs, watches them and starts them again.

It is a control plane only: no connection goes through it, and none notices when it dies.
"""
