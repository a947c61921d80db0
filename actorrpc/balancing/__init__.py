"""Which connections should move where.

For whoever writes a policy: `view`, what a policy sees and answers, and `eligible`, what it may not do. For
the broker: the `policies` that have names, `decide`, which asks one and checks its answers, and `recorder`.
For `actorrpc simulate`: `simulation`, hubs that do not exist; no server imports it.
"""
